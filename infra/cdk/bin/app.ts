// One stack with one deployment: `npx cdk deploy -c environment=prod -c authMode=keys`.

import { App, CfnOutput, Stack } from "aws-cdk-lib";

import { GenaiVectors } from "../lib/genai-vectors";

const app = new App();
const context = (name: string): string | undefined => app.node.tryGetContext(name);
const stack = new Stack(app, "genai-vectors", { description: "genai-vectors, a vector database that speaks the Amazon S3 Vectors API" });
const authMode = context("authMode") === "iam" ? "iam" : "keys";
const vectors = new GenaiVectors(stack, "Vectors", {
  environmentName: context("environment"),
  authMode,
  codeRoot: context("codeRoot"),
  publicBasePath: context("publicBasePath"),
});
new CfnOutput(stack, "ApiUrl", { value: vectors.url });
new CfnOutput(stack, "ApiId", { value: vectors.api.ref });
new CfnOutput(stack, "TableName", { value: vectors.table.tableName });
new CfnOutput(stack, "BucketName", { value: vectors.bucket.bucketName });
if (vectors.accessKeys) {
  new CfnOutput(stack, "AccessKeysSecretArn", { value: vectors.accessKeys.secretArn });
}
