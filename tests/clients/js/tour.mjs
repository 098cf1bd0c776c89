// Runs every operation of @aws-sdk/client-s3vectors against an endpoint, and prints one line for each.
//
//   node tour.mjs http://127.0.0.1:8080       (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the environment)
//
// The list of operations comes from the SDK itself: a command that this tour does not know is a failure.

import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-s3vectors";

const endpoint = process.argv[2];
const client = new sdk.S3VectorsClient({ endpoint, region: "us-east-1", maxAttempts: 1 });
const bucket = `js-tour-${Date.now()}-${process.pid}`;
const byBucket = { vectorBucketName: bucket };
const byIndex = { vectorBucketName: bucket, indexName: "tour" };
const policy = JSON.stringify({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Principal: { AWS: "arn:aws:iam::123456789012:root" }, Action: "s3vectors:*", Resource: "*" },
  ],
});
const done = new Set();
let arns = {};

async function call(operation, input) {
  const Command = sdk[`${operation}Command`];
  assert.ok(Command, `the SDK has no ${operation}`);
  const answer = await client.send(new Command(input));
  assert.equal(answer.$metadata.httpStatusCode, 200);
  assert.ok(answer.$metadata.requestId, `${operation}: no request id`);
  done.add(operation);
  return answer;
}

async function refused(operation, input, name, message) {
  const failure = await call(operation, input).then(() => null, (error) => error);
  assert.ok(failure, `${operation} was accepted`);
  assert.ok(failure instanceof sdk[name], `${operation}: ${failure.name}: ${failure.message}`);
  assert.match(failure.message, message);
  assert.ok(failure.$metadata.requestId);
  return failure;
}

async function buckets() {
  const made = await call("CreateVectorBucket", { ...byBucket, tags: { made: "by tour" } });
  assert.ok(made.vectorBucketArn.endsWith(`bucket/${bucket}`));
  const found = (await call("GetVectorBucket", { vectorBucketArn: made.vectorBucketArn })).vectorBucket;
  assert.ok(found.creationTime instanceof Date && Math.abs(found.creationTime - Date.now()) < 120_000);
  const listed = await call("ListVectorBuckets", { prefix: bucket, maxResults: 1 });
  assert.deepEqual(listed.vectorBuckets.map((row) => row.vectorBucketName), [bucket]);
  await call("PutVectorBucketPolicy", { ...byBucket, policy });
  assert.deepEqual(JSON.parse((await call("GetVectorBucketPolicy", byBucket)).policy), JSON.parse(policy));
  await call("DeleteVectorBucketPolicy", byBucket);
  await refused("GetVectorBucketPolicy", byBucket, "NotFoundException", /policy could not be found/);
  await refused("CreateVectorBucket", byBucket, "ConflictException", /already exists/);
}

async function indexes() {
  const config = { dataType: "float32", dimension: 3, distanceMetric: "cosine" };
  const configuration = { nonFilterableMetadataKeys: ["text"] };
  const made = await call("CreateIndex", { ...byIndex, ...config, metadataConfiguration: configuration });
  const found = (await call("GetIndex", { indexArn: made.indexArn })).index;
  assert.equal(found.dimension, 3);
  assert.deepEqual(found.metadataConfiguration.nonFilterableMetadataKeys, ["text"]);
  assert.equal((await call("ListIndexes", byBucket)).indexes.length, 1);
  arns = { bucket: found.indexArn.split("/index/")[0], index: found.indexArn };
}

async function tags() {
  for (const resourceArn of [arns.bucket, arns.index]) {
    await call("TagResource", { resourceArn, tags: { team: "search", "a b/c": "ü" } });
    const stored = (await call("ListTagsForResource", { resourceArn })).tags;
    assert.equal(stored["a b/c"], "ü");
    await call("UntagResource", { resourceArn, tagKeys: ["team", "a b/c", "made"] });
    assert.deepEqual((await call("ListTagsForResource", { resourceArn })).tags, {});
  }
}

async function vectors() {
  const rows = { red: [1, 0, 0], orange: [0.9, 0.25, 0], blue: [0, 0, 1] };
  const records = Object.entries(rows).map(([key, float32]) => ({
    key,
    data: { float32 },
    metadata: { warm: key !== "blue", length: key.length, text: "long ".repeat(1000), list: ["a", key] },
  }));
  await call("PutVectors", { ...byIndex, vectors: records });
  const got = await call("GetVectors", { ...byIndex, keys: ["orange", "none"], returnData: true, returnMetadata: true });
  assert.deepEqual(got.vectors[0].data.float32.map(Math.fround), [0.9, 0.25, 0].map(Math.fround));
  assert.deepEqual(got.vectors[0].metadata, records[1].metadata);
  const listed = await call("ListVectors", { ...byIndex, segmentCount: 1, segmentIndex: 0 });
  assert.deepEqual(listed.vectors.map((row) => row.key).sort(), ["blue", "orange", "red"]);
  const queryVector = { float32: [1, 0.1, 0] };
  const hits = await call("QueryVectors", { ...byIndex, queryVector, topK: 2, returnDistance: true, returnMetadata: true });
  assert.deepEqual(hits.vectors.map((hit) => hit.key), ["red", "orange"]);
  assert.equal(hits.distanceMetric, "cosine");
  const filter = { $and: [{ warm: { $eq: true } }, { list: { $in: ["orange"] } }] };
  const filtered = await call("QueryVectors", { ...byIndex, queryVector, topK: 2, filter });
  assert.deepEqual(filtered.vectors.map((hit) => hit.key), ["orange"]);
}

async function refusals() {
  const bad = { key: "bad", data: { float32: [NaN, 0, 1] } };
  await refused("PutVectors", { ...byIndex, vectors: [bad] }, "ValidationException", /NaNs or Infs/);
  const failure = await refused("PutVectors", { ...byIndex, vectors: [{ key: "bad", data: { float32: [1] } }] },
    "ValidationException", /vector must have length 3, but has length 1/);
  assert.ok(failure.fieldList[0].path.startsWith("vectors[0]"));
  await refused("GetIndex", { ...byBucket, indexName: "absent" }, "NotFoundException", /index could not be found/);
  await refused("DeleteVectorBucket", byBucket, "ConflictException", /not empty/);
}

async function pages() {
  const many = Array.from({ length: 230 }, (_, n) => ({ key: `k${n}`, data: { float32: [1, n, 0] } }));
  await call("PutVectors", { ...byIndex, vectors: many });
  const seen = new Set();
  for await (const page of sdk.paginateListVectors({ client, pageSize: 50 }, { ...byIndex })) {
    for (const row of page.vectors) seen.add(row.key);
  }
  assert.equal(seen.size, 233);
}

async function modes() {
  if (sdk.UpdateIndexModeCommand) await call("UpdateIndexMode", { ...byIndex, indexMode: "ENHANCED" });
  if (sdk.PutVectorBucketDefaultIndexModeCommand) {
    await call("PutVectorBucketDefaultIndexMode", { ...byBucket, defaultIndexMode: "ENHANCED" });
  }
  if (sdk.UpdateMetadataConfigurationCommand) {
    const add = { textSearchConfigurations: [{ metadataKey: "text" }] };
    await refused("UpdateMetadataConfiguration", { ...byIndex, add }, "ValidationException", /full-text/i);
    done.add("UpdateMetadataConfiguration");
  }
}

async function removal() {
  await call("DeleteVectors", { ...byIndex, keys: ["red", "none"] });
  assert.equal((await call("GetVectors", { ...byIndex, keys: ["red"] })).vectors.length, 0);
  await call("DeleteIndex", byIndex);
  await call("DeleteVectorBucket", byBucket);
  await refused("GetVectorBucket", byBucket, "NotFoundException", /bucket could not be found/);
}

try {
  for (const part of [buckets, indexes, tags, vectors, refusals, pages, modes, removal]) await part();
} finally {
  await client.send(new sdk.DeleteIndexCommand(byIndex)).catch(() => {});
  await client.send(new sdk.DeleteVectorBucketCommand(byBucket)).catch(() => {});
}
const offered = Object.keys(sdk).filter((name) => name.endsWith("Command") && name !== "$Command").map((n) => n.slice(0, -7));
for (const operation of offered) console.log(`${done.has(operation) ? "ok" : "NOT RUN"} ${operation}`);
console.log(`${done.size} of ${offered.length} operations`);
assert.deepEqual(offered.filter((operation) => !done.has(operation)), []);
