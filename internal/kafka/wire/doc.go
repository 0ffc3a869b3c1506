// Package wire carries Kafka's frames: it reads requests from a connection and writes responses to it.
//
//	request   size 4 │ header: key 2, version 2, correlation id 4, client id, (tags) │ body
//	response  size 4 │ header: correlation id 4, (tags)                             │ body
//
// It promises that a peer cannot make the process take memory that it did not pay for in bytes: a frame's buffer grows
// with the bytes that arrived, frames in flight are counted against a Budget, and the memory that a decoded request
// will take is measured before anything is decoded (see MeasureRequest), refused if it is absurd, and counted as well.
// Decoding never panics and always ends in time proportional to the body.
//
// Message types are those of kmsg. They stop at broker/api; nothing else should import this package on the server side.
// The notation in shapes_gen.go, made from kmsg by shapegen, describes every request for the measuring.
//
// Ownership: a Frame belongs to whoever read it until Release. Byte slices of a decoded request point into the frame and
// die with it; strings do not. A Response belongs to whoever has it until WriteTo or Drop, of which exactly one is
// called, once; that calls the Done of each of its parts exactly once, whatever happens.
//
// FrameReader serves one goroutine. Budget, EncodeResponse, DecodeRequest and Decoder may be used by many. There are no
// locks but the one inside Budget. Not here: connections' lives, deadlines of idle peers, versions that are served,
// authentication.
package wire

//go:generate go run ./shapegen
