// genai-vectors as a construct that other stacks import: the same functions, permissions, routes, stores and alarms as
// ../template.yaml, from the same table (../make_template.py makes ../functions.json). A child's id is its name in the
// template, so that ../check_cdk.py can compare the two, property by property.

import * as fs from "node:fs";
import * as path from "node:path";

import {
  Aws,
  Duration,
  RemovalPolicy,
  SecretValue,
  Size,
  Token,
  aws_apigatewayv2 as apigateway,
  aws_dynamodb as dynamodb,
  aws_events as events,
  aws_iam as iam,
  aws_lambda as lambda,
  aws_logs as logs,
  aws_s3 as s3,
  aws_secretsmanager as secretsmanager,
  aws_sns as sns,
  aws_sqs as sqs,
} from "aws-cdk-lib";
import { Construct } from "constructs";

import functions from "../functions.json";
import { addAlarms, addDashboard } from "./monitoring";

/** What a deployment may choose: the template's parameters. */
export interface GenaiVectorsProps {
  /** Where `sam build` leaves the functions: `.aws-sam/build` of the repository. */
  readonly codeRoot: string;
  /** Part of every name, and a dimension of every metric: 1 to 13 lower-case letters, digits and hyphens. @default "prod" */
  readonly environmentName?: string;
  /** keys: this deployment's own access keys; iam: API Gateway's IAM authorizer. @default "keys" */
  readonly authMode?: "keys" | "iam";
  /** The keys as JSON, as the README describes them. @default - one owner key is made */
  readonly accessKeys?: SecretValue;
  /** A path in front of the API that clients sign (a custom domain's mapping). @default - none */
  readonly publicBasePath?: string;
  /** Behave as AWS does where AWS is stricter. @default false */
  readonly strict?: boolean;
  /** Of the functions without FAISS; QueryVectors and the indexer are x86_64. @default x86_64 */
  readonly architecture?: lambda.Architecture;
  /** Recall@10 that queries aim for; 1 scans everything. @default 0.98 */
  readonly targetRecall?: number;
  /** Rows from which on a merged shard gets a FAISS index. @default 20000 */
  readonly flatThreshold?: number;
  /** /tmp of functions that read; it bounds `cache`, which does not follow it. @default 2048 MiB */
  readonly cacheStorage?: Size;
  /** Shard files that a function keeps in it; at most three quarters, for copies under way. @default 1536 MiB */
  readonly cache?: Size;
  /** Folds, and compactions, at a time. @default 2, which leaves 4 of a new account's 10 functions for requests */
  readonly indexerConcurrency?: number;
  /** What the API takes in the long run; more is answered 429. @default 2000 */
  readonly requestsPerSecond?: number;
  /** Requests that it takes at once. @default 1000 */
  readonly requestBurst?: number;
  /** @default "info" */
  readonly logLevel?: "error" | "warn" | "info" | "debug" | "trace";
  /** @default 30 days */
  readonly logRetention?: logs.RetentionDays;
  /** For how long deleted objects can be brought back; they are paid for that long. @default 7 days */
  readonly backup?: Duration;
  /** How long an unreachable object stays before a collection may list it. @default 1 day */
  readonly collectFloorAge?: Duration;
  /** How long it stays after that. @default 1 hour */
  readonly collectListAge?: Duration;
  /** A table that holds the catalog instead of the construct's own, such as a restored one. @default - its own */
  readonly existingTable?: string;
  /** Who hears of alarms. @default - nobody is written to; subscribe to `alarms` */
  readonly alarmEmail?: string;
}

/** A line of the table of functions. */
interface FunctionRow {
  readonly name: string;
  readonly binary: string;
  readonly folder: string;
  readonly memory: number;
  readonly timeout: number;
  readonly reads: boolean;
  readonly permits: { readonly actions: string[]; readonly on: string }[];
  readonly routes: string[];
}

const ROWS: readonly FunctionRow[] = functions;
/** The folder whose functions have no FAISS. */
const WITHOUT_FAISS = "api";
/** With it the longest name of a function has the 64 characters that Lambda takes. */
const ENVIRONMENT_NAME = /^[a-z0-9-]{1,13}$/;

/** A deployment: an HTTP API that speaks the Amazon S3 Vectors API, and all that it stands on. */
export class GenaiVectors extends Construct {
  /** The endpoint URL. */
  public readonly url: string;
  public readonly api: apigateway.CfnApi;
  /** The catalog, unless `existingTable` names another. */
  public readonly table: dynamodb.Table;
  /** The name of the table that holds the catalog. */
  public readonly tableName: string;
  /** The objects. */
  public readonly bucket: s3.Bucket;
  /** The access keys, where they are this deployment's own. */
  public readonly accessKeys?: secretsmanager.Secret;
  /** Every function by its name: `PutVectors`, `Fold`, ... Their roles are fixed: they permit what each calls. */
  public readonly functions: Record<string, lambda.Function> = {};
  public readonly foldQueue: sqs.Queue;
  public readonly compactQueue: sqs.Queue;
  /** Work that failed again and again. */
  public readonly deadLetters: sqs.Queue;
  /** Where all alarms are sent. */
  public readonly alarms: sns.Topic;
  private readonly environmentName: string;
  private readonly authMode: "keys" | "iam";

  constructor(scope: Construct, id: string, private readonly props: GenaiVectorsProps) {
    super(scope, id);
    this.environmentName = props.environmentName ?? "prod";
    if (!Token.isUnresolved(this.environmentName) && !ENVIRONMENT_NAME.test(this.environmentName)) {
      throw new Error(`environmentName ${this.environmentName} is not 1 to 13 lower-case letters, digits and hyphens`);
    }
    this.authMode = props.authMode ?? "keys";
    this.table = this.makeTable();
    this.tableName = props.existingTable || this.table.tableName;
    this.bucket = this.makeBucket();
    if (this.authMode === "keys") {
      this.accessKeys = this.makeAccessKeys();
    }
    this.deadLetters = new sqs.Queue(this, "DeadLetters", {
      retentionPeriod: Duration.days(14),
      encryption: sqs.QueueEncryption.SQS_MANAGED,
    });
    // A little more than an invocation takes. What failed comes back after that; the sweep, which repeats it each
    // minute, does not wait for it.
    this.foldQueue = this.makeQueue("FoldQueue", Duration.minutes(6));
    // Merges of an index that has settled are due a while after its last fold.
    this.compactQueue = this.makeQueue("CompactQueue", Duration.minutes(16), Duration.seconds(12));
    this.requireTls();
    this.api = this.makeApi();
    this.url = `https://${this.api.ref}.execute-api.${Aws.REGION}.${Aws.URL_SUFFIX}`;
    for (const row of ROWS) {
      this.functions[row.name] = this.makeFunction(row);
      this.addRoutes(row);
    }
    this.wakeIndexer();
    this.alarms = new sns.Topic(this, "Alarms");
    addAlarms(this, this.environmentName, props.alarmEmail);
    addDashboard(this, this.environmentName);
  }

  private makeTable(): dynamodb.Table {
    const table = new dynamodb.Table(this, "Table", {
      partitionKey: { name: "pk", type: dynamodb.AttributeType.STRING },
      sortKey: { name: "sk", type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      encryption: dynamodb.TableEncryption.DEFAULT,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    // Sparse: only records with work have both keys.
    table.addGlobalSecondaryIndex({
      indexName: "dirty",
      partitionKey: { name: "uuid", type: dynamodb.AttributeType.STRING },
      sortKey: { name: "dirty_since", type: dynamodb.AttributeType.NUMBER },
      projectionType: dynamodb.ProjectionType.INCLUDE,
      nonKeyAttributes: ["retry_at"],
    });
    return table;
  }

  private makeBucket(): s3.Bucket {
    const bucket = new s3.Bucket(this, "Bucket", {
      encryption: s3.BucketEncryption.S3_MANAGED,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      // With the table's point-in-time recovery: both can be brought back to one moment.
      versioned: true,
      lifecycleRules: [
        {
          id: "deleted-objects",
          noncurrentVersionExpiration: this.props.backup ?? Duration.days(7),
          expiredObjectDeleteMarker: true,
        },
        { id: "unfinished-uploads", abortIncompleteMultipartUploadAfter: Duration.days(1) },
      ],
      removalPolicy: RemovalPolicy.RETAIN,
    });
    bucket.addToResourcePolicy(tlsOnly("s3:*", [bucket.bucketArn, bucket.arnForObjects("*")]));
    return bucket;
  }

  private makeQueue(id: string, visibilityTimeout: Duration, deliveryDelay?: Duration): sqs.Queue {
    return new sqs.Queue(this, id, {
      visibilityTimeout,
      deliveryDelay,
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: 5 },
    });
  }

  private requireTls(): void {
    const queues = [this.foldQueue, this.compactQueue, this.deadLetters].map((queue) => queue.queueUrl);
    const policyDocument = new iam.PolicyDocument({ statements: [tlsOnly("sqs:*", ["*"])] });
    new sqs.CfnQueuePolicy(this, "QueuePolicy", { queues, policyDocument });
  }

  private makeAccessKeys(): secretsmanager.Secret {
    const user = `genai-vectors-${this.environmentName}`;
    const key = { accessKeyId: user, owner: true, principal: `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:user/${user}` };
    const generateSecretString = {
      secretStringTemplate: JSON.stringify(key),
      generateStringKey: "secretAccessKey",
      passwordLength: 40,
      excludePunctuation: true,
    };
    return new secretsmanager.Secret(this, "AccessKeysSecret", {
      description: `Access keys of genai-vectors (${this.environmentName}); changes are effective within a minute`,
      ...(this.props.accessKeys ? { secretStringValue: this.props.accessKeys } : { generateSecretString }),
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  private makeLogs(id: string, logGroupName: string): logs.LogGroup {
    return new logs.LogGroup(this, id, {
      logGroupName,
      retention: this.props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
  }

  /** Every route is explicit, and what no route takes is answered 404. */
  private makeApi(): apigateway.CfnApi {
    const name = `genai-vectors-${this.environmentName}`;
    const api = new apigateway.CfnApi(this, "HttpApi", {
      name,
      protocolType: "HTTP",
      description: "Amazon S3 Vectors API",
    });
    const log = this.makeLogs("ApiLogs", `/aws/apigateway/${name}`);
    const line = {
      requestId: "$context.requestId",
      route: "$context.routeKey",
      status: "$context.status",
      latency: "$context.responseLatency",
      integration: "$context.integrationErrorMessage",
    };
    new apigateway.CfnStage(this, "ApiStage", {
      apiId: api.ref,
      stageName: "$default",
      autoDeploy: true,
      // Anybody may send requests, signed or not: this bounds what they cost, and what is left for the account's other APIs.
      defaultRouteSettings: {
        throttlingRateLimit: this.props.requestsPerSecond ?? 2000,
        throttlingBurstLimit: this.props.requestBurst ?? 1000,
      },
      accessLogSettings: { destinationArn: log.logGroupArn, format: JSON.stringify(line) },
    });
    return api;
  }

  private environment(row: FunctionRow): Record<string, string> {
    const { props } = this;
    const shared = {
      GENAI_VECTORS_ENVIRONMENT: this.environmentName,
      GENAI_VECTORS_ACCOUNT: Aws.ACCOUNT_ID,
      GENAI_VECTORS_PARTITION: Aws.PARTITION,
      GENAI_VECTORS_TABLE: this.tableName,
      GENAI_VECTORS_STORAGE: `s3://${this.bucket.bucketName}`,
      GENAI_VECTORS_FOLD_QUEUE_URL: this.foldQueue.queueUrl,
      GENAI_VECTORS_COMPACT_QUEUE_URL: this.compactQueue.queueUrl,
      GENAI_VECTORS_AUTH: this.authMode,
      GENAI_VECTORS_KEYS_SECRET: this.accessKeys?.secretArn ?? "",
      GENAI_VECTORS_PUBLIC_BASE_PATH: props.publicBasePath ?? "",
      GENAI_VECTORS_STRICT: String(props.strict ?? false),
      GENAI_VECTORS_TARGET_RECALL: String(props.targetRecall ?? 0.98),
      GENAI_VECTORS_FLAT_THRESHOLD: String(props.flatThreshold ?? 20000),
      GENAI_VECTORS_COLLECT_FLOOR_AGE_S: String((props.collectFloorAge ?? Duration.days(1)).toSeconds()),
      GENAI_VECTORS_COLLECT_LIST_AGE_S: String((props.collectListAge ?? Duration.hours(1)).toSeconds()),
      LOG_LEVEL: props.logLevel ?? "info",
    };
    if (!row.reads) {
      return shared;
    }
    const cache = props.cache ?? Size.mebibytes(1536);
    return { ...shared, GENAI_VECTORS_CACHE_MIB: String(cache.toMebibytes()) };
  }

  private makeFunction(row: FunctionRow): lambda.Function {
    const name = `genai-vectors-${this.environmentName}-${row.binary}`;
    const code = path.join(this.props.codeRoot, `${row.name}Function`);
    if (!fs.existsSync(path.join(code, "bootstrap"))) {
      throw new Error(`${code} has no bootstrap: build the functions first, with sam build in the repository's root`);
    }
    const log = this.makeLogs(`${row.name}Logs`, `/aws/lambda/${name}`);
    const chosen = row.folder === WITHOUT_FAISS ? this.props.architecture : undefined;
    const cacheStorage = this.props.cacheStorage ?? Size.mebibytes(2048);
    return new lambda.Function(this, `${row.name}Function`, {
      functionName: name,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      handler: "bootstrap",
      code: lambda.Code.fromAsset(code),
      architecture: chosen ?? lambda.Architecture.X86_64,
      memorySize: row.memory,
      timeout: Duration.seconds(row.timeout),
      ephemeralStorageSize: row.reads ? cacheStorage : Size.mebibytes(512),
      tracing: lambda.Tracing.ACTIVE,
      environment: this.environment(row),
      // Only what the function calls: CDK would add what it thinks of.
      role: this.makeRole(row, log).withoutPolicyUpdates(),
      logGroup: log,
    });
  }

  private makeRole(row: FunctionRow, log: logs.LogGroup): iam.Role {
    const { existingTable } = this.props;
    const tables = `arn:${Aws.PARTITION}:dynamodb:${Aws.REGION}:${Aws.ACCOUNT_ID}:table`;
    const tableArn = existingTable ? `${tables}/${existingTable}` : this.table.tableArn;
    const resources: Record<string, string> = {
      table: tableArn,
      dirty: `${tableArn}/index/dirty`,
      objects: this.bucket.arnForObjects("*"),
      bucket: this.bucket.bucketArn,
      FoldQueue: this.foldQueue.queueArn,
      CompactQueue: this.compactQueue.queueArn,
    };
    const allow = (actions: string[], resource: string): iam.PolicyStatement =>
      new iam.PolicyStatement({ actions, resources: [resource] });
    const statements = row.permits.map((permit) => allow(permit.actions, resources[permit.on]));
    if (this.accessKeys && row.routes.length > 0) {
      statements.push(allow(["secretsmanager:GetSecretValue"], this.accessKeys.secretArn));
    }
    statements.push(allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.logGroupArn));
    statements.push(allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"));
    return new iam.Role(this, `${row.name}Role`, {
      assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com"),
      inlinePolicies: { [row.binary]: new iam.PolicyDocument({ statements }) },
    });
  }

  private addRoutes(row: FunctionRow): void {
    if (row.routes.length === 0) {
      return;
    }
    const integration = new apigateway.CfnIntegration(this, `${row.name}Integration`, {
      apiId: this.api.ref,
      integrationType: "AWS_PROXY",
      integrationUri: this.functions[row.name].functionArn,
      payloadFormatVersion: "2.0",
      timeoutInMillis: 30000,
    });
    const stages = `arn:${Aws.PARTITION}:execute-api:${Aws.REGION}:${Aws.ACCOUNT_ID}:${this.api.ref}/*`;
    this.permit(row.name, "apigateway.amazonaws.com", stages);
    row.routes.forEach((routeKey, position) => {
      new apigateway.CfnRoute(this, `${row.name}${position === 0 ? "Route" : "GuideRoute"}`, {
        apiId: this.api.ref,
        routeKey,
        authorizationType: this.authMode === "iam" ? "AWS_IAM" : "NONE",
        target: `integrations/${integration.ref}`,
      });
    });
  }

  private permit(name: string, principal: string, sourceArn: string): void {
    const functionName = this.functions[name].functionName;
    new lambda.CfnPermission(this, `${name}Permission`, { action: "lambda:InvokeFunction", functionName, principal, sourceArn });
  }

  private wakeIndexer(): void {
    this.hear("Fold", this.foldQueue, 100);
    this.hear("Compact", this.compactQueue, 10);
    this.schedule("Sweep", "rate(1 minute)", "Rings again for indexes that have work");
    this.schedule("Collect", "rate(1 hour)", "Deletes what nothing reaches");
  }

  private hear(name: string, queue: sqs.Queue, batchSize: number): void {
    new lambda.CfnEventSourceMapping(this, `${name}Messages`, {
      eventSourceArn: queue.queueArn,
      functionName: this.functions[name].functionName,
      batchSize,
      maximumBatchingWindowInSeconds: 5,
      functionResponseTypes: ["ReportBatchItemFailures"],
      scalingConfig: { maximumConcurrency: this.props.indexerConcurrency ?? 2 },
    });
  }

  private schedule(name: string, scheduleExpression: string, description: string): void {
    const rule = new events.CfnRule(this, `${name}Schedule`, {
      description,
      scheduleExpression,
      targets: [{ id: name, arn: this.functions[name].functionArn }],
    });
    this.permit(name, "events.amazonaws.com", rule.attrArn);
    // The schedule is the repetition.
    const functionName = this.functions[name].functionName;
    new lambda.CfnEventInvokeConfig(this, `${name}Invocations`, { functionName, qualifier: "$LATEST", maximumRetryAttempts: 0 });
  }
}

function tlsOnly(action: string, resources: string[]): iam.PolicyStatement {
  return new iam.PolicyStatement({
    sid: "TlsOnly",
    effect: iam.Effect.DENY,
    principals: [new iam.StarPrincipal()],
    actions: [action],
    resources,
    conditions: { Bool: { "aws:SecureTransport": "false" } },
  });
}
