// Package devstack runs what chasqui needs of other programs on a developer's
// machine or a single server, without Docker: an embedded PostgreSQL, found or
// downloaded, and an S3 server, which is this program itself. Both run as child
// processes and stop with their parent.
package devstack
