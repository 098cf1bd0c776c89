// One stack with one deployment: `npx cdk deploy -c environmentName=prod -c authMode=keys`.

import * as path from "node:path";

import { App, CfnOutput, Stack } from "aws-cdk-lib";

import { GenaiVectors } from "../lib/genai-vectors";

const app = new App();
const context = (name: string): string | undefined => app.node.tryGetContext(name);
const environmentName = context("environmentName") ?? "prod";
const stack = new Stack(app, context("stackName") ?? "genai-vectors", {
  description: "genai-vectors, a vector database that speaks the Amazon S3 Vectors API - one function per operation",
});
const vectors = new GenaiVectors(stack, "Vectors", {
  codeRoot: context("codeRoot") ?? path.join(__dirname, "..", "..", "..", ".aws-sam", "build"),
  environmentName,
  authMode: context("authMode") === "iam" ? "iam" : "keys",
  publicBasePath: context("publicBasePath"),
  existingTable: context("existingTable"),
  alarmEmail: context("alarmEmail"),
});
new CfnOutput(stack, "ApiUrl", { value: vectors.url });
new CfnOutput(stack, "ApiId", { value: vectors.api.ref });
new CfnOutput(stack, "TableName", { value: vectors.tableName });
new CfnOutput(stack, "BucketName", { value: vectors.bucket.bucketName });
if (vectors.accessKeys) {
  new CfnOutput(stack, "AccessKeysSecretArn", { value: vectors.accessKeys.secretArn });
}
