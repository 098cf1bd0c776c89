// genai-vectors as a construct that other stacks import: the same functions, permissions, routes and stores as
// ../template.yaml, from the same table (../make_template.py makes ../functions.json).
//
// The functions' code is what `cargo lambda build --release` leaves in target/lambda; build it first.

import * as path from "node:path";

import {
  Aws,
  Duration,
  RemovalPolicy,
  Size,
  aws_apigatewayv2 as apigateway,
  aws_cloudwatch as cloudwatch,
  aws_dynamodb as dynamodb,
  aws_events as events,
  aws_events_targets as targets,
  aws_iam as iam,
  aws_lambda as lambda,
  aws_logs as logs,
  aws_s3 as s3,
  aws_secretsmanager as secretsmanager,
  aws_sqs as sqs,
} from "aws-cdk-lib";
import { Construct } from "constructs";

import functions from "../functions.json";

/** What a deployment may choose. */
export interface GenaiVectorsProps {
  /** Part of every name, and a dimension of every metric. @default "prod" */
  readonly environmentName?: string;
  /** keys: this deployment's own access keys; iam: API Gateway's IAM authorizer. @default "keys" */
  readonly authMode?: "keys" | "iam";
  /** Where `cargo lambda build` leaves the functions. @default target/lambda of this repository */
  readonly codeRoot?: string;
  /** A path in front of the API that clients sign; {apiId} and {stage} are filled in. */
  readonly publicBasePath?: string;
  /** Behave as AWS does where AWS is stricter. @default false */
  readonly strict?: boolean;
  /** Of the functions without FAISS; the others are x86_64. @default x86_64 */
  readonly architecture?: lambda.Architecture;
  /** Recall@10 that queries aim for; 1 scans everything. @default 0.98 */
  readonly targetRecall?: number;
  /** /tmp of functions that read; three quarters of it keep shard files. @default 2048 MiB */
  readonly cacheStorage?: Size;
  /** Folds, and compactions, at a time. @default 4 */
  readonly indexerConcurrency?: number;
  /** @default 30 days */
  readonly logRetention?: logs.RetentionDays;
  /** For how long deleted objects can be brought back. @default 7 days */
  readonly backup?: Duration;
}

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

const X86_64_ONLY = ["query", "indexer"];

/** A deployment: an HTTP API that speaks the Amazon S3 Vectors API, and all that it stands on. */
export class GenaiVectors extends Construct {
  /** The endpoint URL. */
  public readonly url: string;
  public readonly api: apigateway.CfnApi;
  public readonly table: dynamodb.Table;
  public readonly bucket: s3.Bucket;
  /** The access keys, where they are this deployment's own. */
  public readonly accessKeys?: secretsmanager.Secret;
  /** Every function by its name: `PutVectors`, `Fold`, ... */
  public readonly functions: Record<string, lambda.Function> = {};
  /** Work that failed again and again. */
  public readonly deadLetters: sqs.Queue;
  private readonly queues: Record<"FoldQueue" | "CompactQueue", sqs.Queue>;
  private readonly settings: Required<Pick<GenaiVectorsProps, "environmentName" | "authMode" | "codeRoot">>;

  constructor(scope: Construct, id: string, private readonly props: GenaiVectorsProps = {}) {
    super(scope, id);
    this.settings = {
      environmentName: props.environmentName ?? "prod",
      authMode: props.authMode ?? "keys",
      codeRoot: props.codeRoot ?? path.join(__dirname, "..", "..", "..", "target", "lambda"),
    };
    this.table = this.makeTable();
    this.bucket = this.makeBucket();
    this.deadLetters = new sqs.Queue(this, "DeadLetters", {
      retentionPeriod: Duration.days(14),
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
    });
    this.queues = {
      FoldQueue: this.makeQueue("FoldQueue", Duration.minutes(30), Duration.seconds(0)),
      // Merges of an index that has settled are due a while after its last fold.
      CompactQueue: this.makeQueue("CompactQueue", Duration.minutes(90), Duration.seconds(12)),
    };
    if (this.settings.authMode === "keys") {
      this.accessKeys = this.makeAccessKeys();
    }
    this.api = this.makeApi();
    this.url = `https://${this.api.ref}.execute-api.${Aws.REGION}.${Aws.URL_SUFFIX}`;
    for (const row of functions as FunctionRow[]) {
      this.functions[row.name] = this.makeFunction(row);
      this.addRoutes(row);
    }
    this.wakeIndexer();
    this.addAlarms();
  }

  private makeTable(): dynamodb.Table {
    const table = new dynamodb.Table(this, "Table", {
      partitionKey: { name: "pk", type: dynamodb.AttributeType.STRING },
      sortKey: { name: "sk", type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
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
    return new s3.Bucket(this, "Bucket", {
      encryption: s3.BucketEncryption.S3_MANAGED,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      versioned: true,
      lifecycleRules: [
        { noncurrentVersionExpiration: this.props.backup ?? Duration.days(7), expiredObjectDeleteMarker: true },
        { abortIncompleteMultipartUploadAfter: Duration.days(1) },
      ],
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  private makeQueue(id: string, visibilityTimeout: Duration, deliveryDelay: Duration): sqs.Queue {
    return new sqs.Queue(this, id, {
      visibilityTimeout,
      deliveryDelay,
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: 5 },
    });
  }

  private makeAccessKeys(): secretsmanager.Secret {
    const user = `genai-vectors-${this.settings.environmentName}`;
    const key = { accessKeyId: user, owner: true, principal: `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:user/${user}` };
    return new secretsmanager.Secret(this, "AccessKeys", {
      description: "Access keys of genai-vectors; changes are effective within a minute",
      generateSecretString: {
        secretStringTemplate: JSON.stringify(key),
        generateStringKey: "secretAccessKey",
        passwordLength: 40,
        excludePunctuation: true,
      },
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  private makeApi(): apigateway.CfnApi {
    const api = new apigateway.CfnApi(this, "Api", {
      name: `genai-vectors-${this.settings.environmentName}`,
      protocolType: "HTTP",
      description: "Amazon S3 Vectors API",
    });
    const log = new logs.LogGroup(this, "ApiLogs", { retention: this.props.logRetention ?? logs.RetentionDays.ONE_MONTH });
    new apigateway.CfnStage(this, "ApiStage", {
      apiId: api.ref,
      stageName: "$default",
      autoDeploy: true,
      accessLogSettings: {
        destinationArn: log.logGroupArn,
        format: JSON.stringify({
          requestId: "$context.requestId",
          route: "$context.routeKey",
          status: "$context.status",
          latency: "$context.responseLatency",
          integration: "$context.integrationErrorMessage",
        }),
      },
    });
    return api;
  }

  private environment(): Record<string, string> {
    const cache = this.cacheStorage().toMebibytes();
    return {
      GENAI_VECTORS_ENVIRONMENT: this.settings.environmentName,
      GENAI_VECTORS_ACCOUNT: Aws.ACCOUNT_ID,
      GENAI_VECTORS_PARTITION: Aws.PARTITION,
      GENAI_VECTORS_TABLE: this.table.tableName,
      GENAI_VECTORS_STORAGE: `s3://${this.bucket.bucketName}`,
      GENAI_VECTORS_FOLD_QUEUE_URL: this.queues.FoldQueue.queueUrl,
      GENAI_VECTORS_COMPACT_QUEUE_URL: this.queues.CompactQueue.queueUrl,
      GENAI_VECTORS_AUTH: this.settings.authMode,
      GENAI_VECTORS_KEYS_SECRET: this.accessKeys?.secretArn ?? "",
      GENAI_VECTORS_PUBLIC_BASE_PATH: this.props.publicBasePath ?? "",
      GENAI_VECTORS_STRICT: String(this.props.strict ?? false),
      GENAI_VECTORS_TARGET_RECALL: String(this.props.targetRecall ?? 0.98),
      GENAI_VECTORS_CACHE_MIB: String(Math.floor((cache * 3) / 4)),
    };
  }

  private cacheStorage(): Size {
    return this.props.cacheStorage ?? Size.mebibytes(2048);
  }

  private makeFunction(row: FunctionRow): lambda.Function {
    const name = `genai-vectors-${this.settings.environmentName}-${row.binary}`;
    const log = new logs.LogGroup(this, `${row.name}Logs`, {
      logGroupName: `/aws/lambda/${name}`,
      retention: this.props.logRetention ?? logs.RetentionDays.ONE_MONTH,
    });
    const isX86 = X86_64_ONLY.includes(row.folder);
    const made = new lambda.Function(this, row.name, {
      functionName: name,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      handler: "bootstrap",
      code: lambda.Code.fromAsset(path.join(this.settings.codeRoot, row.binary)),
      architecture: isX86 ? lambda.Architecture.X86_64 : (this.props.architecture ?? lambda.Architecture.X86_64),
      memorySize: row.memory,
      timeout: Duration.seconds(row.timeout),
      ephemeralStorageSize: row.reads ? this.cacheStorage() : Size.mebibytes(512),
      tracing: lambda.Tracing.ACTIVE,
      environment: this.environment(),
      role: this.makeRole(row, log),
      logGroup: log,
    });
    return made;
  }

  /** Only what the function calls: CDK's own roles would permit it every log group. */
  private makeRole(row: FunctionRow, log: logs.LogGroup): iam.Role {
    const resources: Record<string, string> = {
      table: this.table.tableArn,
      dirty: `${this.table.tableArn}/index/dirty`,
      objects: this.bucket.arnForObjects("*"),
      bucket: this.bucket.bucketArn,
      FoldQueue: this.queues.FoldQueue.queueArn,
      CompactQueue: this.queues.CompactQueue.queueArn,
    };
    const allow = (actions: string[], resource: string) => new iam.PolicyStatement({ actions, resources: [resource] });
    const statements = row.permits.map((permit) => allow(permit.actions, resources[permit.on]));
    statements.push(allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.logGroupArn));
    statements.push(allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"));
    if (this.accessKeys && row.routes.length > 0) {
      statements.push(allow(["secretsmanager:GetSecretValue"], this.accessKeys.secretArn));
    }
    return new iam.Role(this, `${row.name}Role`, {
      assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com"),
      inlinePolicies: { [row.binary]: new iam.PolicyDocument({ statements }) },
    });
  }

  private addRoutes(row: FunctionRow): void {
    if (row.routes.length === 0) {
      return;
    }
    const made = this.functions[row.name];
    const integration = new apigateway.CfnIntegration(this, `${row.name}Integration`, {
      apiId: this.api.ref,
      integrationType: "AWS_PROXY",
      integrationUri: made.functionArn,
      payloadFormatVersion: "2.0",
      timeoutInMillis: 30000,
    });
    new lambda.CfnPermission(this, `${row.name}Permission`, {
      action: "lambda:InvokeFunction",
      functionName: made.functionName,
      principal: "apigateway.amazonaws.com",
      sourceArn: `arn:${Aws.PARTITION}:execute-api:${Aws.REGION}:${Aws.ACCOUNT_ID}:${this.api.ref}/*`,
    });
    row.routes.forEach((routeKey, position) => {
      new apigateway.CfnRoute(this, `${row.name}Route${position}`, {
        apiId: this.api.ref,
        routeKey,
        authorizationType: this.settings.authMode === "iam" ? "AWS_IAM" : "NONE",
        target: `integrations/${integration.ref}`,
      });
    });
  }

  private wakeIndexer(): void {
    const hears = (name: string, queue: sqs.Queue, batchSize: number) =>
      new lambda.CfnEventSourceMapping(this, `${name}Messages`, {
        eventSourceArn: queue.queueArn,
        functionName: this.functions[name].functionName,
        batchSize,
        maximumBatchingWindowInSeconds: 5,
        functionResponseTypes: ["ReportBatchItemFailures"],
        scalingConfig: { maximumConcurrency: this.props.indexerConcurrency ?? 4 },
      });
    hears("Fold", this.queues.FoldQueue, 100);
    hears("Compact", this.queues.CompactQueue, 10);
    const scheduled = (name: string, rate: Duration) =>
      new events.Rule(this, `${name}Schedule`, {
        schedule: events.Schedule.rate(rate),
        targets: [new targets.LambdaFunction(this.functions[name])],
      });
    scheduled("Sweep", Duration.minutes(1));
    scheduled("Collect", Duration.hours(1));
  }

  private addAlarms(): void {
    const alarm = (id: string, metric: cloudwatch.IMetric, threshold: number, alarmDescription: string, evaluationPeriods = 1) =>
      new cloudwatch.Alarm(this, id, {
        metric,
        threshold,
        evaluationPeriods,
        alarmDescription,
        comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      });
    const period = Duration.minutes(5);
    const dead = this.deadLetters.metricApproximateNumberOfMessagesVisible({ period, statistic: "Maximum" });
    alarm("DeadLetterAlarm", dead, 0, "Work on an index failed again and again; its record and the indexer's log name it");
    const backlog = this.queues.FoldQueue.metricApproximateAgeOfOldestMessage({ period, statistic: "Maximum" });
    alarm("BacklogAlarm", backlog, 600, "The indexer does not keep up; tails grow, and full ones refuse writes", 2);
    const faults = new cloudwatch.Metric({
      namespace: "AWS/ApiGateway",
      metricName: "5xx",
      dimensionsMap: { ApiId: this.api.ref },
      statistic: "Sum",
      period,
    });
    alarm("FaultAlarm", faults, 5, "The API answers 5xx");
  }
}
