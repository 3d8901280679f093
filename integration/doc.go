// Package integration tests the built program on real mounts, as users and
// their tools see it. It has no code of its own, only tests.
//
// main_test.go builds the program and sees to it that no mount outlives the
// tests. Mounts are served by child processes, never by the test itself.
package integration
