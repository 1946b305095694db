// Package segment is one segment of a log: its data file and its offset, time and transaction indexes.
package segment
