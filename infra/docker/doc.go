// Package docker holds the images, what docker-compose.yml needs beside them, and
// the tests of both.
package docker
