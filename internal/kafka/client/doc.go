// Package client builds Kafka clients: the one place where Options, in which security and timeouts are named as Java's
// client.properties names them, become options of kgo.
//
// It promises that every part of the platform and every command reaches a broker in the same way, that a file which works
// with Kafka's own tools works here (package properties), and that a property nobody knows is an error that names it
// instead of being passed over. Properties that only steer the Java client, such as buffer sizes or class names of
// serializers, are accepted and have no effect.
//
// Values of secrets (passwords, login modules, keys) never appear in an error or a log.
//
// What a client does (consume which topics, in which group, produce how) is for its user to add as further kgo options.
// Nothing here connects, keeps state or starts goroutines, except New, whose client its caller closes. All functions may
// be called from any goroutine. Kerberos is not supported.
package client
