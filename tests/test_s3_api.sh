#!/usr/bin/env bash
# The production guide's curl script, each answer checked. Unsigned calls: for a server without keys.
#
#   BASE_URL=http://localhost:8080/s3-vectors ./test_s3_api.sh
set -euo pipefail

BASE_URL=${BASE_URL:-http://localhost:8080/s3-vectors}
BUCKET="test-$(date +%s)-$$"
INDEX=test-index
IDS="\"vectorBucketName\": \"$BUCKET\", \"indexName\": \"$INDEX\""

call() {
  curl --silent --show-error --fail-with-body --max-time 30 -X POST "$BASE_URL/$1" -H "Content-Type: application/json" -d "$2"
}

cleanup() {
  call DeleteIndex "{$IDS}" >/dev/null 2>&1 || true
  call DeleteVectorBucket "{\"vectorBucketName\": \"$BUCKET\"}" >/dev/null 2>&1 || true
}
trap cleanup EXIT

fail() { echo "❌ $*" >&2; exit 1; }

# step TITLE OPERATION BODY JQ-CONDITION
step() {
  local answer
  answer=$(call "$2" "$3") || fail "$1: $answer"
  jq --exit-status "$4" <<<"${answer:-"{}"}" >/dev/null || fail "$1: expected $4, got: $answer"
  echo "✅ $1"
}

command -v jq >/dev/null || fail "this script needs jq"
echo "🧪 Testing S3 Vectors API at $BASE_URL with bucket: $BUCKET"
step "1. create bucket" CreateVectorBucket "{\"vectorBucketName\": \"$BUCKET\"}" ".vectorBucketArn | endswith(\"bucket/$BUCKET\")"
step "2. list buckets" ListVectorBuckets '{}' ".vectorBuckets | any(.vectorBucketName == \"$BUCKET\")"
step "3. get bucket" GetVectorBucket "{\"vectorBucketName\": \"$BUCKET\"}" ".vectorBucket.vectorBucketName == \"$BUCKET\""
step "4. create index" CreateIndex "{$IDS, \"dimension\": 5, \"distanceMetric\": \"COSINE\", \"dataType\": \"FLOAT32\"}" \
  ".indexArn | endswith(\"index/$INDEX\")"
step "5. list indexes" ListIndexes "{\"vectorBucketName\": \"$BUCKET\"}" '.indexes | length == 1'
step "6. get index" GetIndex "{$IDS}" '.index | .dimension == 5 and .distanceMetric == "cosine" and .dataType == "float32"'
step "7. put vectors" PutVectors "{$IDS, \"vectors\": [
    {\"key\": \"test-1\", \"data\": {\"float32\": [0.1, 0.2, 0.3, 0.4, 0.5]}, \"metadata\": {\"type\": \"test\"}},
    {\"key\": \"test-2\", \"data\": {\"float32\": [0.5, 0.4, 0.3, 0.2, 0.1]}, \"metadata\": {\"type\": \"other\"}}]}" 'type == "object"'
step "8. list vectors" ListVectors "{$IDS, \"maxResults\": 10}" '[.vectors[].key] | sort == ["test-1", "test-2"]'
step "9. get vectors" GetVectors "{$IDS, \"keys\": [\"test-1\"], \"returnData\": true, \"returnMetadata\": true}" \
  '.vectors[0] | .data.float32 == [0.1, 0.2, 0.3, 0.4, 0.5] and .metadata.type == "test"'
step "10. query vectors" QueryVectors "{$IDS, \"queryVector\": {\"float32\": [0.1, 0.2, 0.3, 0.4, 0.5]}, \"topK\": 5,
    \"returnData\": true, \"returnMetadata\": true, \"filter\": {\"type\": \"test\"}}" \
  '(.vectors | length) == 1 and .vectors[0].key == "test-1" and .distanceMetric == "cosine" and .vectors[0].data.float32[0] == 0.1'
step "11. delete vectors" DeleteVectors "{$IDS, \"keys\": [\"test-1\"]}" 'type == "object"'
step "    it is gone" ListVectors "{$IDS}" '[.vectors[].key] == ["test-2"]'
step "12. delete index" DeleteIndex "{$IDS}" 'type == "object"'
step "13. delete bucket" DeleteVectorBucket "{\"vectorBucketName\": \"$BUCKET\"}" 'type == "object"'
if call GetVectorBucket "{\"vectorBucketName\": \"$BUCKET\"}" >/dev/null 2>&1; then fail "the bucket is still there"; fi
echo "✅ Test completed successfully!"
