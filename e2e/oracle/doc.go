// Package oracle lets Apache Kafka decide what "as Kafka does" means: it holds the same scripted conversations with
// Apache Kafka and with Millrace and compares the answers field by field.
//
// It owns: the scripts (testdata/*.yaml), the requests they describe, the form in which answers are compared, the
// recorded answers of Kafka (testdata/kafka), and differences.txt, the reviewed list of differences that stay. It does
// not own starting servers (package harness) nor any behaviour of Millrace.
//
//	testdata/*.yaml ──> Conversation × version ──> Session on Kafka    ──> Transcript ─┐
//	                                          └──> Session on Millrace ──> Transcript ─┴─> differences ──> differences.txt
//
// Invariants:
//   - every API and version of Spoken has a conversation with a valid request, and takes part in every sweep of broken frames;
//   - what a server may choose freely (ids, ports, the clock, paths) is normalised, and nothing else is;
//   - a difference without an entry in differences.txt fails, and so does an entry that no difference needs.
package oracle
