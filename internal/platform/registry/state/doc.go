// Package state is the Schema Registry's state machine: what the records of the topic _schemas add up to, and what can be asked of
// it. It is pure: a record comes in, the state changes; the same records give the same state on every instance and after every
// start. Keys and values have Confluent's JSON forms, so a registry moves by copying the topic (record.go has them).
//
//	SCHEMA          a version of a subject; a tombstone deletes it for good
//	DELETE_SUBJECT  marks all versions up to one as deleted
//	CLEAR_SUBJECT   forgets deleted versions of subjects, before an import
//	CONFIG, MODE    settings of a subject, of a context (":.ctx:"), of everything (no subject)
//	CONTEXT, ASSOC  that a context is there; which resource a subject belongs to
//	NOOP            nothing; who becomes the writer waits until it reads its own
//
// Ids belong to contexts: the same number may stand for another schema in another context. A version that was deleted softly keeps
// its id. The texts of schemas are kept once for all versions that share them, and packed (text.go); nothing is parsed here.
//
// A State has no lock: its owner has one. What queries return must not be changed.
package state
