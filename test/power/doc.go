// Package power cuts the power of a whole server, again and again, and checks what became of its promises.
//
// The server is the real one, as internal/app assembles it, with its log and its objects on vfs.Mem and its metadata in
// Pebble on Pebble's own memory. At a chosen operation of the disk the power goes: both are cloned as a power cut may leave
// them, with what was not synced lost, kept or torn, and nothing works from then on. The next server starts from the clones.
// Meanwhile clients run transactions with records and offsets, produce, write versions to a compacted topic, commit offsets
// for groups, and are members of one; the cleaner compacts that topic and the coordinators' own. Some cuts hit a start.
//
// What clients were told before the cut must hold after it: acknowledged records are there once and in order, a committed
// transaction is there with all its records and its offset, one whose end nobody knows is there as a whole or not at all,
// an aborted one is not, a committed offset does not go back, a member of a group still is one, and the last stable offset
// comes to the end of every log. What a reader has seen once stays where it was.
//
// The cuts and what a clone keeps follow a seed, which is printed; the order in which goroutines run does not.
// $POWER_SEED takes the seed of another run, $POWER_ROUNDS how many cuts there are.
package power
