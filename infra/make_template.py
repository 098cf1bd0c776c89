#!/usr/bin/env python3
"""Makes template.yaml: what stands once in `template.head.yaml`, and per function its role, log group, function and
routes, from the table below. `make_template.py` writes the file; `make_template.py --check` says whether it is current.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "template.yaml"

TABLE = "!GetAtt Table.Arn"
DIRTY = '!Sub "${Table.Arn}/index/dirty"'
OBJECTS = '!Sub "${Bucket.Arn}/*"'
BUCKET = "!GetAtt Bucket.Arn"
# Without s3:ListBucket a missing object is "access denied", not "not found", which readers act on.
READ_OBJECTS = (("s3:GetObject",), OBJECTS), (("s3:ListBucket",), BUCKET)
WRITE_OBJECTS = (("s3:PutObject", "s3:AbortMultipartUpload"), OBJECTS)
RING_FOLD = (("sqs:SendMessage",), "!GetAtt FoldQueue.Arn")
RING_COMPACT = (("sqs:SendMessage",), "!GetAtt CompactQueue.Arn")


def table(*actions):
    return tuple(f"dynamodb:{action}" for action in actions), TABLE


def hears(queue):
    return ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"), f"!GetAtt {queue}.Arn"


@dataclass(frozen=True)
class Operation:
    """An operation of the API: its size (a key of Mappings.Sizes), and what its role permits beside keys and logs."""

    name: str
    size: str
    permits: tuple


@dataclass(frozen=True)
class Background:
    """A function that nothing outside calls."""

    name: str
    size: str
    permits: tuple
    source: str


READ = table("GetItem")
CHANGE_TAGS = table("GetItem", "UpdateItem")
OPERATIONS = (
    Operation("CreateIndex", "Control", (table("GetItem", "PutItem", "UpdateItem", "ConditionCheckItem"),)),
    Operation("CreateVectorBucket", "Control", (table("GetItem", "PutItem", "UpdateItem", "ConditionCheckItem"),)),
    Operation("DeleteIndex", "Control", (table("GetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"),)),
    Operation("DeleteVectorBucket", "Control", (table("GetItem", "PutItem", "DeleteItem"),)),
    Operation("DeleteVectorBucketPolicy", "Control", (CHANGE_TAGS,)),
    Operation("DeleteVectors", "Write", (table("GetItem", "UpdateItem"), *READ_OBJECTS, WRITE_OBJECTS, RING_FOLD)),
    Operation("GetIndex", "Control", (READ, *READ_OBJECTS)),
    Operation("GetVectorBucket", "Control", (READ,)),
    Operation("GetVectorBucketPolicy", "Control", (READ,)),
    Operation("GetVectors", "Read", (READ, *READ_OBJECTS)),
    Operation("ListIndexes", "Control", (table("GetItem", "Query"),)),
    Operation("ListTagsForResource", "Control", (READ,)),
    Operation("ListVectorBuckets", "Control", (table("Query"),)),
    Operation("ListVectors", "Read", (READ, *READ_OBJECTS)),
    Operation("PutVectorBucketDefaultIndexMode", "Control", (READ,)),
    Operation("PutVectorBucketPolicy", "Control", (CHANGE_TAGS,)),
    Operation("PutVectors", "Write", (table("GetItem", "UpdateItem"), *READ_OBJECTS, WRITE_OBJECTS, RING_FOLD)),
    Operation("QueryVectors", "Query", (READ, *READ_OBJECTS)),
    Operation("TagResource", "Control", (CHANGE_TAGS,)),
    Operation("UntagResource", "Control", (CHANGE_TAGS,)),
    Operation("UpdateIndexMode", "Control", (READ,)),
    Operation("UpdateMetadataConfiguration", "Control", (READ,)),
)
INDEXING = (table("GetItem", "UpdateItem"), *READ_OBJECTS, WRITE_OBJECTS, RING_COMPACT)
FROM_QUEUE = """
  {name}Messages:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt {name}Queue.Arn
      FunctionName: !Ref {name}Function
      BatchSize: {batch}
      MaximumBatchingWindowInSeconds: {window}
      FunctionResponseTypes: [ReportBatchItemFailures]
      ScalingConfig:
        MaximumConcurrency: !Ref IndexerConcurrency
"""
ON_SCHEDULE = """
  {name}Schedule:
    Type: AWS::Events::Rule
    Properties:
      Description: {description}
      ScheduleExpression: {rate}
      Targets:
        - Id: {name}
          Arn: !GetAtt {name}Function.Arn

  {name}Permission:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !Ref {name}Function
      Principal: events.amazonaws.com
      SourceArn: !GetAtt {name}Schedule.Arn
"""
BACKGROUND = (
    Background("Fold", "Fold", (*INDEXING, hears("FoldQueue")), FROM_QUEUE.format(name="Fold", batch=100, window=5)),
    Background(
        "Compact", "Compact", (*INDEXING, hears("CompactQueue")), FROM_QUEUE.format(name="Compact", batch=10, window=5)
    ),
    Background(
        "Sweep",
        "Sweep",
        ((("dynamodb:Scan",), DIRTY), RING_FOLD, RING_COMPACT),
        ON_SCHEDULE.format(name="Sweep", rate="rate(1 minute)", description="Rings again for indexes that have work"),
    ),
    Background(
        "Collect",
        "Collect",
        (table("GetItem", "Query", "UpdateItem"), *READ_OBJECTS, (("s3:PutObject", "s3:DeleteObject"), OBJECTS)),
        ON_SCHEDULE.format(name="Collect", rate="rate(1 hour)", description="Deletes what nothing reaches"),
    ),
)
TAG_METHODS = {"ListTagsForResource": "GET", "TagResource": "POST", "UntagResource": "DELETE"}


def kebab(name):
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def folder(function):
    if isinstance(function, Background):
        return "indexer"
    return "query" if function.name == "QueryVectors" else "api"


def statement(permit):
    actions, resource = permit
    return f"""
              - Effect: Allow
                Action: [{", ".join(actions)}]
                Resource: {resource}"""


def role(function):
    reads_keys = isinstance(function, Operation)
    keys = """
              - !If
                - UseKeys
                - Effect: Allow
                  Action: [secretsmanager:GetSecretValue]
                  Resource: !Ref AccessKeysSecret
                - !Ref AWS::NoValue"""
    return f"""
  {function.name}Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: sts:AssumeRole
            Principal: {{Service: lambda.amazonaws.com}}
      Policies:
        - PolicyName: {kebab(function.name)}
          PolicyDocument:
            Version: "2012-10-17"
            Statement:{"".join(statement(permit) for permit in function.permits)}{keys if reads_keys else ""}
              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !GetAtt {function.name}Logs.Arn
              - Effect: Allow
                Action: [xray:PutTraceSegments, xray:PutTelemetryRecords]
                Resource: "*"
"""


def body(function):
    name, size = function.name, function.size
    architecture = "!Ref Architecture" if folder(function) == "api" else "x86_64"
    ephemeral = "!Ref CacheStorage" if size in ("Read", "Query") else "512"
    return f"""
  {name}Logs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/lambda/genai-vectors-${{EnvironmentName}}-{kebab(name)}
      RetentionInDays: !Ref LogRetentionDays

  {name}Function:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties: {{Binary: {kebab(name)}}}
    Properties:
      FunctionName: !Sub genai-vectors-${{EnvironmentName}}-{kebab(name)}
      CodeUri: ../functions/{folder(function)}
      Architectures: [{architecture}]
      MemorySize: !FindInMap [Sizes, {size}, Memory]
      Timeout: !FindInMap [Sizes, {size}, Timeout]
      EphemeralStorage: {{Size: {ephemeral}}}
      Role: !GetAtt {name}Role.Arn
      LoggingConfig: {{LogGroup: !Ref {name}Logs}}
"""


def routes(operation):
    name = operation.name
    method, path = TAG_METHODS.get(name, "POST"), f"/{name}"
    if name in TAG_METHODS:
        path = "/tags/{resourceArn+}"
    parts = [
        f"""
  {name}Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref HttpApi
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt {name}Function.Arn
      PayloadFormatVersion: "2.0"
      TimeoutInMillis: 30000

  {name}Permission:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !Ref {name}Function
      Principal: apigateway.amazonaws.com
      SourceArn: !Sub arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{HttpApi}}/*
"""
    ]
    for suffix, prefix in (("Route", ""), ("GuideRoute", "/s3-vectors")):
        parts.append(f"""
  {name}{suffix}:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref HttpApi
      RouteKey: {method} {prefix}{path}
      AuthorizationType: !If [UseIam, AWS_IAM, NONE]
      Target: !Sub integrations/${{{name}Integration}}
""")
    return "".join(parts)


def made():
    head = (HERE / "template.head.yaml").read_text()
    parts = [head.rstrip("\n") + "\n"]
    for operation in OPERATIONS:
        parts += [f"\n  # {operation.name}\n".rstrip(" "), role(operation), body(operation), routes(operation)]
    for background in BACKGROUND:
        parts += [f"\n  # {background.name}\n", role(background), body(background), background.source]
    text = "".join(parts)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return "# Made by make_template.py from template.head.yaml: change those.\n" + text


def main():
    if sys.argv[1:] == ["--check"]:
        sys.exit(None if TEMPLATE.read_text() == made() else "infra/template.yaml is not what infra/make_template.py makes")
    TEMPLATE.write_text(made())


if __name__ == "__main__":
    main()
