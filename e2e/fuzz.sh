#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-30s}
found=0
while IFS=: read -r file line; do
  name=$(sed -n "s/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p" <<<"$line")
  [ -n "$name" ] || continue
  found=$((found + 1))
  echo "$(dirname "$file") $name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "./$(dirname "$file")"
done < <(git grep -h --full-name -H '^func Fuzz' -- '*_test.go')
echo "$found fuzz targets, $duration each: no fault found"
[ "$found" -gt 0 ]
