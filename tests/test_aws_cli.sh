#!/usr/bin/env bash
# The production guide's walk through the AWS CLI, each answer checked. Corrections to the guide: vectors have the
# index's length, and the CLI itself refuses `returnData` in a query (it was never a request member).
#
#   ENDPOINT_URL=http://localhost:8080 AWS=aws ./test_aws_cli.sh
set -euo pipefail

ENDPOINT_URL=${ENDPOINT_URL:-http://localhost:8080}
AWS=${AWS:-aws}
BUCKET="cli-test-$(date +%s)-$$"
INDEX=my-embeddings
export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-test}
export AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-test}
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-us-east-1}
export AWS_PAGER=""
FOLDER=$(mktemp -d)

vectors() { "$AWS" s3vectors "$@" --endpoint-url "$ENDPOINT_URL" --output json; }

cleanup() {
  vectors delete-index --vector-bucket-name "$BUCKET" --index-name "$INDEX" >/dev/null 2>&1 || true
  vectors delete-vector-bucket --vector-bucket-name "$BUCKET" >/dev/null 2>&1 || true
  rm -rf "$FOLDER"
}
trap cleanup EXIT

fail() { echo "❌ $*" >&2; exit 1; }

# check NAME JSON PYTHON-EXPRESSION-OVER-answer
check() {
  python3 - "$2" "$3" <<'PY' || fail "$1: expected $3, got: $2"
import json, sys
answer = json.loads(sys.argv[1] or "{}")
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
  echo "✅ $1"
}

echo "🧪 Testing the AWS CLI against $ENDPOINT_URL with bucket $BUCKET"
check "create-vector-bucket" "$(vectors create-vector-bucket --vector-bucket-name "$BUCKET")" \
  "answer['vectorBucketArn'].endswith('bucket/$BUCKET')"
check "list-vector-buckets" "$(vectors list-vector-buckets)" \
  "'$BUCKET' in [row['vectorBucketName'] for row in answer['vectorBuckets']]"
check "get-vector-bucket" "$(vectors get-vector-bucket --vector-bucket-name "$BUCKET")" \
  "answer['vectorBucket']['vectorBucketName'] == '$BUCKET'"
check "create-index" "$(vectors create-index --vector-bucket-name "$BUCKET" --index-name "$INDEX" \
  --dimension 5 --distance-metric COSINE --data-type FLOAT32)" "answer['indexArn'].endswith('index/$INDEX')"
check "list-indexes" "$(vectors list-indexes --vector-bucket-name "$BUCKET")" "len(answer['indexes']) == 1"
check "get-index" "$(vectors get-index --vector-bucket-name "$BUCKET" --index-name "$INDEX")" \
  "(answer['index']['dimension'], answer['index']['distanceMetric'], answer['index']['dataType']) == (5, 'cosine', 'float32')"

cat >"$FOLDER/vectors.json" <<JSON
{"vectorBucketName": "$BUCKET", "indexName": "$INDEX", "vectors": [
  {"key": "document-1", "data": {"float32": [0.1, 0.2, 0.3, 0.4, 0.5]},
   "metadata": {"title": "Sample Document", "category": "test"}},
  {"key": "document-2", "data": {"float32": [0.5, 0.4, 0.3, 0.2, 0.1]},
   "metadata": {"title": "Another Document", "category": "other"}}]}
JSON
vectors put-vectors --cli-input-json "file://$FOLDER/vectors.json" >/dev/null || fail put-vectors
echo "✅ put-vectors"
check "list-vectors" "$(vectors list-vectors --vector-bucket-name "$BUCKET" --index-name "$INDEX" --max-results 10)" \
  "sorted(row['key'] for row in answer['vectors']) == ['document-1', 'document-2']"
check "get-vectors" "$(vectors get-vectors --vector-bucket-name "$BUCKET" --index-name "$INDEX" --keys document-1 \
  --return-data --return-metadata)" \
  "answer['vectors'][0]['metadata']['title'] == 'Sample Document' and len(answer['vectors'][0]['data']['float32']) == 5"

cat >"$FOLDER/query.json" <<JSON
{"vectorBucketName": "$BUCKET", "indexName": "$INDEX", "topK": 5, "returnMetadata": true, "returnDistance": true,
 "queryVector": {"float32": [0.15, 0.25, 0.35, 0.45, 0.55]}, "filter": {"category": "test"}}
JSON
check "query-vectors" "$(vectors query-vectors --cli-input-json "file://$FOLDER/query.json")" \
  "[hit['key'] for hit in answer['vectors']] == ['document-1'] and answer['vectors'][0]['distance'] < 0.01"
vectors delete-vectors --vector-bucket-name "$BUCKET" --index-name "$INDEX" --keys document-1 >/dev/null || fail delete-vectors
check "delete-vectors" "$(vectors list-vectors --vector-bucket-name "$BUCKET" --index-name "$INDEX")" \
  "[row['key'] for row in answer['vectors']] == ['document-2']"
vectors delete-index --vector-bucket-name "$BUCKET" --index-name "$INDEX" >/dev/null || fail delete-index
check "delete-index" "$(vectors list-indexes --vector-bucket-name "$BUCKET")" "answer['indexes'] == []"
vectors delete-vector-bucket --vector-bucket-name "$BUCKET" >/dev/null || fail delete-vector-bucket
if vectors get-vector-bucket --vector-bucket-name "$BUCKET" >/dev/null 2>"$FOLDER/error"; then fail "the bucket is still there"; fi
grep -q NotFoundException "$FOLDER/error" || fail "expected NotFoundException: $(cat "$FOLDER/error")"
echo "✅ delete-vector-bucket"
echo "🎉 All AWS CLI commands working"
