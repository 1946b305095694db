// Package record reads, checks and writes Kafka record batches (format v2).
package record
