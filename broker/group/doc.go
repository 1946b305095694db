// Package group is the group coordinator: the classic group protocol and committed offsets.
package group
