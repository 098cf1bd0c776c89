#!/usr/bin/env python3
"""The table of functions: their sizes, what their roles permit, their routes. From it are made

template.yaml       with what stands once, in template.head.yaml
cdk/functions.json  for the construct

make_template.py writes both; make_template.py --check says whether they are current.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "template.yaml"

FUNCTIONS = HERE / "cdk" / "functions.json"

# MiB and seconds. A new account has 3,008 MB for one function, and few concurrent ones.
SIZES = {
    "Control": (256, 30),
    "Write": (1024, 30),
    "Read": (1769, 30),
    "Query": (3008, 30),
    "Fold": (3008, 300),
    "Compact": (3008, 900),
    "Sweep": (256, 60),
    "Collect": (1024, 900),
}
# What permissions are on, as the template names it.
EXISTING_TABLE = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${ExistingTable}"
RESOURCES = {
    "table": f'!If [UseExistingTable, !Sub "{EXISTING_TABLE}", !GetAtt Table.Arn]',
    "dirty": f'!If [UseExistingTable, !Sub "{EXISTING_TABLE}/index/dirty", !Sub "${{Table.Arn}}/index/dirty"]',
    "objects": '!Sub "${Bucket.Arn}/*"',
    "bucket": "!GetAtt Bucket.Arn",
    "FoldQueue": "!GetAtt FoldQueue.Arn",
    "CompactQueue": "!GetAtt CompactQueue.Arn",
}
# Without s3:ListBucket a missing object is "access denied", not "not found", which readers act on.
READ_OBJECTS = (("s3:GetObject",), "objects"), (("s3:ListBucket",), "bucket")
WRITE_OBJECTS = (("s3:PutObject", "s3:AbortMultipartUpload"), "objects")
RING_FOLD = (("sqs:SendMessage",), "FoldQueue")
RING_COMPACT = (("sqs:SendMessage",), "CompactQueue")


def table(*actions):
    return tuple(f"dynamodb:{action}" for action in actions), "table"


def hears(queue):
    return ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"), queue


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
    Operation("DeleteIndex", "Control", (table("GetItem", "PutItem", "UpdateItem", "DeleteItem"),)),
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
INDEXING = (table("GetItem", "UpdateItem"), *READ_OBJECTS, WRITE_OBJECTS)
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

  # The schedule is the repetition.
  {name}Invocations:
    Type: AWS::Lambda::EventInvokeConfig
    Properties:
      FunctionName: !Ref {name}Function
      Qualifier: $LATEST
      MaximumRetryAttempts: 0
"""
BACKGROUND = (
    Background(
        "Fold",
        "Fold",
        (*INDEXING, RING_COMPACT, hears("FoldQueue")),
        FROM_QUEUE.format(name="Fold", batch=100, window=5),
    ),
    Background(
        "Compact", "Compact", (*INDEXING, hears("CompactQueue")), FROM_QUEUE.format(name="Compact", batch=10, window=5)
    ),
    Background(
        "Sweep",
        "Sweep",
        ((("dynamodb:Scan",), "dirty"), RING_FOLD, RING_COMPACT),
        ON_SCHEDULE.format(name="Sweep", rate="rate(1 minute)", description="Rings again for indexes that have work"),
    ),
    Background(
        "Collect",
        "Collect",
        (
            table("GetItem", "PutItem", "Query", "UpdateItem"),
            *READ_OBJECTS,
            (("s3:PutObject", "s3:DeleteObject"), "objects"),
        ),
        ON_SCHEDULE.format(name="Collect", rate="rate(1 hour)", description="Deletes what nothing reaches"),
    ),
)
# Sizes of functions that keep shard files in /tmp.
CACHING = ("Read", "Query")
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
                Resource: {RESOURCES[resource]}"""


def role(function):
    reads_keys = isinstance(function, Operation)
    keys = """
              - !If
                - UseKeys
                - Effect: Allow
                  Action: [secretsmanager:GetSecretValue]
                  Resource: !GetAtt AccessKeysSecret.Id
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
    ephemeral = "!Ref CacheStorage" if size in CACHING else "512"
    # The others keep what fits into the 512 MiB that they have.
    cache = "\n      Environment: {Variables: {GENAI_VECTORS_CACHE_MIB: !Ref CacheMib}}" if size in CACHING else ""
    return f"""
  {name}Logs:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub /aws/lambda/genai-vectors-${{EnvironmentName}}-{kebab(name)}
      RetentionInDays: !Ref LogRetentionDays

  {name}Function:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: makefile
      WorkingDirectory: ..
    Properties:
      FunctionName: !Sub genai-vectors-${{EnvironmentName}}-{kebab(name)}
      CodeUri: ../functions
      Architectures: [{architecture}]
      MemorySize: !FindInMap [Sizes, {size}, Memory]
      Timeout: !FindInMap [Sizes, {size}, Timeout]
      EphemeralStorage: {{Size: {ephemeral}}}
      Role: !GetAtt {name}Role.Arn
      LoggingConfig: {{LogGroup: !Ref {name}Logs}}{cache}
"""


def route_keys(operation):
    """`METHOD /path`, and the same below the older guide's prefix."""
    method = TAG_METHODS.get(operation.name, "POST")
    path = "/tags/{resourceArn+}" if operation.name in TAG_METHODS else f"/{operation.name}"
    return f"{method} {path}", f"{method} /s3-vectors{path}"


def routes(operation):
    name = operation.name
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
    for suffix, key in zip(("Route", "GuideRoute"), route_keys(operation), strict=True):
        parts.append(f"""
  {name}{suffix}:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref HttpApi
      RouteKey: {key}
      AuthorizationType: !If [UseIam, AWS_IAM, NONE]
      Target: !Sub integrations/${{{name}Integration}}
""")
    return "".join(parts)


def functions():
    """The table as JSON."""
    rows = [
        {
            "name": function.name,
            "binary": kebab(function.name),
            "folder": folder(function),
            "memory": SIZES[function.size][0],
            "timeout": SIZES[function.size][1],
            "reads": function.size in CACHING,
            "permits": [{"actions": list(actions), "on": on} for actions, on in function.permits],
            "routes": list(route_keys(function)) if isinstance(function, Operation) else [],
        }
        for function in (*OPERATIONS, *BACKGROUND)
    ]
    return json.dumps(rows, indent=1) + "\n"


def template():
    sizes = "".join(f"\n    {name}: {{Memory: {mib}, Timeout: {seconds}}}" for name, (mib, seconds) in SIZES.items())
    head = (HERE / "template.head.yaml").read_text().replace("# (sizes)", f"Mappings:\n  Sizes:{sizes}")
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
    for file, text in ((TEMPLATE, template()), (FUNCTIONS, functions())):
        if sys.argv[1:] == ["--check"]:
            if file.read_text() != text:
                sys.exit(f"{file.relative_to(HERE.parent)} is not what infra/make_template.py makes")
        else:
            file.write_text(text)


if __name__ == "__main__":
    main()
