// Package producer is what a log knows of its idempotent and transactional producers: last sequences, open
// transactions, the last stable offset. It is pure: no file, no clock, no lock.
package producer
