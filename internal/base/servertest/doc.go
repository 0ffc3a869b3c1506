// Package servertest starts the real servers that tests of the cluster need: an S3 server (versitygw) and etcd.
// Each runs as a process of its own on a free loopback port over a temporary folder, can be killed, stopped like a
// machine that hangs, and started again over what it had stored, and is gone when the test ends, also if the test's
// process is killed.
//
// Only tests import it, and only those with the build tag "cluster": everything here has that tag. The binaries are
// built by test/servers/build.sh; `make cluster-test` does so, hands their paths over in TEST_VERSITYGW and
// TEST_ETCD, and runs the tests. A test that finds no binary fails: it is never skipped.
package servertest
