// Package devstack runs what chasqui needs of other programs on a developer's
// machine or a single server, without Docker: an embedded PostgreSQL, found or
// downloaded, started as a child process and stopped with its parent.
package devstack
