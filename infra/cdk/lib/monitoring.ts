// What the operator sees of a deployment: alarms, and a dashboard.

import { Aws, Duration, Stack, aws_cloudwatch as cloudwatch, aws_cloudwatch_actions as actions, aws_logs as logs, aws_sns as sns } from "aws-cdk-lib";

import type { GenaiVectors } from "./genai-vectors";

const NAMESPACE = "GenaiVectors";
const PERIOD = Duration.minutes(5);
/** Functions that work most: those feel it first when the account's concurrency, which all share, is used up. */
const BUSIEST = { Put: "PutVectors", Query: "QueryVectors", Fold: "Fold" };

/** What an alarm watches, and when it is raised: above `threshold` in `periods` of five minutes. */
interface Watch {
  readonly description: string;
  readonly namespace: string;
  readonly metricName: string;
  readonly dimensionsMap?: Record<string, string>;
  readonly statistic: "Sum" | "Maximum";
  readonly threshold: number;
  readonly periods?: number;
}

/** Adds the alarms, and who hears of them. */
export function addAlarms(vectors: GenaiVectors, environmentName: string, email?: string): void {
  if (email) {
    new sns.CfnSubscription(vectors, "AlarmMail", { topicArn: vectors.alarms.topicArn, protocol: "email", endpoint: email });
  }
  const unreadable = `UnreadableWrites-${environmentName}`;
  new logs.CfnMetricFilter(vectors, "UnreadableWrites", {
    logGroupName: vectors.functions.Fold.logGroup.logGroupName,
    filterPattern: "{ $.alarm IS TRUE }",
    metricTransformations: [{ metricNamespace: NAMESPACE, metricName: unreadable, metricValue: "1" }],
  });
  addAlarm(vectors, "DeadLetterAlarm", {
    description: "Work on an index failed again and again; its record and the indexer's log name it",
    namespace: "AWS/SQS",
    metricName: "ApproximateNumberOfMessagesVisible",
    dimensionsMap: { QueueName: vectors.deadLetters.queueName },
    statistic: "Maximum",
    threshold: 0,
  });
  addAlarm(vectors, "BacklogAlarm", {
    description: "The indexer does not keep up; tails grow, and full ones refuse writes",
    namespace: "AWS/SQS",
    metricName: "ApproximateAgeOfOldestMessage",
    dimensionsMap: { QueueName: vectors.foldQueue.queueName },
    statistic: "Maximum",
    threshold: 600,
    periods: 2,
  });
  addAlarm(vectors, "FaultAlarm", {
    description: "The API answers 5xx",
    namespace: "AWS/ApiGateway",
    metricName: "5xx",
    dimensionsMap: { ApiId: vectors.api.ref },
    statistic: "Sum",
    threshold: 5,
  });
  // Other throttled operations answer 503, which FaultAlarm counts.
  for (const [id, name] of Object.entries(BUSIEST)) {
    addAlarm(vectors, `${id}ThrottleAlarm`, {
      description: `${name} is throttled; raise the account's concurrency`,
      namespace: "AWS/Lambda",
      metricName: "Throttles",
      dimensionsMap: { FunctionName: vectors.functions[name].functionName },
      statistic: "Sum",
      threshold: 0,
      periods: 2,
    });
  }
  // One failure is no alarm: what failed is tried again within a minute.
  addAlarm(vectors, "FoldFailureAlarm", {
    description: "Folds of an index fail, each minute again; the log of fold says why",
    namespace: NAMESPACE,
    metricName: "FoldFailures",
    dimensionsMap: { Environment: environmentName },
    statistic: "Sum",
    threshold: 2,
    periods: 3,
  });
  addAlarm(vectors, "CompactionFailureAlarm", {
    description: "Compactions of an index fail, each minute again; the log of compact says why",
    namespace: NAMESPACE,
    metricName: "CompactionFailures",
    dimensionsMap: { Environment: environmentName },
    statistic: "Sum",
    threshold: 2,
    periods: 3,
  });
  addAlarm(vectors, "SweepAlarm", {
    description: "Sweeps fail; work that no message is left for is not found",
    namespace: "AWS/Lambda",
    metricName: "Errors",
    dimensionsMap: { FunctionName: vectors.functions.Sweep.functionName },
    statistic: "Sum",
    threshold: 2,
  });
  addAlarm(vectors, "CollectAlarm", {
    description: "A collection failed or ran out of time; garbage stays until the next one",
    namespace: "AWS/Lambda",
    metricName: "Errors",
    dimensionsMap: { FunctionName: vectors.functions.Collect.functionName },
    statistic: "Sum",
    threshold: 0,
  });
  addAlarm(vectors, "UnreadableAlarm", {
    description: "A write cannot be read back; its index waits for `genai-vectors quarantine` or for its object",
    namespace: NAMESPACE,
    metricName: unreadable,
    statistic: "Sum",
    threshold: 0,
  });
}

function addAlarm(vectors: GenaiVectors, id: string, watch: Watch): void {
  const { namespace, metricName, dimensionsMap, statistic, threshold } = watch;
  const alarm = new cloudwatch.Alarm(vectors, id, {
    alarmDescription: watch.description,
    metric: new cloudwatch.Metric({ namespace, metricName, dimensionsMap, statistic, period: PERIOD }),
    evaluationPeriods: watch.periods ?? 1,
    threshold,
    comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
    treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
  });
  alarm.addAlarmAction(new actions.SnsAction(vectors.alarms));
}

/** Adds the dashboard: two columns of three charts. */
export function addDashboard(vectors: GenaiVectors, environmentName: string): void {
  const counts = (...names: string[]): string[][] => names.map((name) => [NAMESPACE, name, "Environment", environmentName]);
  const search = (metric: string, stat: string): object[][] => [
    [{ expression: `SEARCH('{GenaiVectors,Environment,Operation} MetricName="${metric}" Environment="${environmentName}"', '${stat}', 60)` }],
  ];
  const ages = [vectors.foldQueue, vectors.compactQueue].map((queue) => ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.queueName]);
  const dead = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", vectors.deadLetters.queueName];
  const charts: { title: string; stat?: string; metrics: unknown[] }[] = [
    { title: "Requests", stat: "Sum", metrics: search("Requests", "Sum") },
    { title: "Duration p99 (ms)", metrics: search("Duration", "p99") },
    { title: "Faults, refusals, throttles, cold starts", stat: "Sum", metrics: counts("Faults", "Refusals", "Throttles", "ColdStarts") },
    {
      title: "Rows written, folds, compactions",
      stat: "Sum",
      metrics: counts("CommittedRows", "Folds", "Compactions", "FoldFailures", "CompactionFailures"),
    },
    { title: "Queues: oldest message (s)", stat: "Maximum", metrics: ages },
    { title: "Dead letters", stat: "Maximum", metrics: [dead] },
  ];
  const widgets = charts.map((chart, position) => ({
    type: "metric",
    x: (position % 2) * 12,
    y: Math.floor(position / 2) * 6,
    width: 12,
    height: 6,
    properties: { ...chart, region: Aws.REGION, period: 60 },
  }));
  new cloudwatch.CfnDashboard(vectors, "Dashboard", {
    dashboardName: `genai-vectors-${environmentName}`,
    dashboardBody: Stack.of(vectors).toJsonString({ widgets }),
  });
}
