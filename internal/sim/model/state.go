package model

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// object is what the blob store has under the key of an incarnation and a seq.
type object uint8

const (
	absent object = iota
	data          // with the one content that its incarnation has for the seq, see section
	seal
)

// put is how far the PUT of a seq has come. Its retries are the same PUT; copies that the network made are in
// incarnation.stray.
type put uint8

const (
	putNone    put = iota
	putSent        // the request is on its way
	putStored      // it made the object, the answer is on its way
	putRefused     // it found one, the answer 412 is on its way
	putDone        // the incarnation knows that its object is durable
	putSkipped     // the incarnation gave it up and went on (RefusedContinues only)
)

// recordID names a record by the object that brought it: 1 + 8 x incarnation + seq. 0: none.
type recordID uint8

func recordOf(inc, seq int) recordID { return recordID(1 + 8*inc + seq) }

func (r recordID) object() (inc, seq int) { return int(r-1) / 8, int(r-1) % 8 }

type sectionKind uint8

const (
	noSection sectionKind = iota
	recordSection
	releaseSection
)

// section is what an object holds: one record of one shard, or a RELEASE. It is fixed when the PUT is first sent.
type section struct {
	kind   sectionKind
	shard  uint8
	epoch  uint8
	offset uint8
}

// entry says that the sections of a shard with epoch are part of its log where they stand in objects [from, to) of inc.
type entry struct {
	epoch, inc, from, to uint8
}

const (
	// untilSealed is the end of an entry that the seal of the incarnation will give.
	untilSealed = 0xff
	// untilGap is the end of an entry that nothing gives: readers read as far as they can.
	untilGap = 0xfe
)

// pointer is the value of s/<shard>, with what the manifest and checkpoint that it names hold.
type pointer struct {
	epoch, version uint8 // together they stand for the revision of the key: every change moves one of them
	owner, from    uint8 // the present entry; its end is open
	entries        uint8
	history        [maxHistory]entry
	gone           uint8                // 1: the manifest's object was deleted
	length, cut    uint8                // the checkpoint knows offsets [0, length); [0, cut) are in L1, others in WAL objects
	log            [maxOffsets]recordID // of the checkpoint
}

type phase uint8

const (
	idle       phase = iota
	recovering       // has read the pointer that names it, and seals and reads
	serving
	releasing // has stopped intake; RELEASE was sent
	handing   // the transaction of the hand-over was sent
)

// checkpoint is the transaction that publishes one.
type checkpoint struct {
	sent           uint8
	inc            uint8
	epoch, version uint8 // compared
	from           uint8
	length, cut    uint8
	gone           uint8
	log            [maxOffsets]recordID
}

// handOver is the transaction of a planned hand-over.
type handOver struct {
	sent           uint8
	inc, dest, end uint8
	epoch, version uint8 // compared
}

// assignment is the transaction of a controller that read the pointer some time ago.
type assignment struct {
	sent           uint8
	shard, dest    uint8
	epoch, version uint8
}

// claim is the stamp that a shard was taken: its highest epoch, and 1 + the incarnation that wrote it.
type claim struct{ epoch, by uint8 }

// saved is what the metadata store held at the moment of a snapshot.
type saved struct {
	taken     uint8
	pointers  [maxShards]pointer
	manifests [maxShards]uint8
	sealedAt  [maxIncarnations]uint8
	trim      [maxIncarnations]uint8
}

// ownership is what an incarnation believes of a shard.
type ownership struct {
	phase          phase
	epoch, version uint8 // of the pointer that it knows
	length         uint8
	recovered      uint8                // offsets below were read from the stores, not written under this epoch
	log            [maxOffsets]recordID // what it has in memory: [0, length)
	end            uint8                // releasing: the seq behind RELEASE
	claimed        uint8                // recovering: 1: has written its claim, 2: has looked for others
	seen           pointer              // recovering: the pointer as it was read
	publishing     checkpoint
}

// sealing is one incarnation's attempt to seal another.
type sealing struct {
	active, placed uint8
	target, at     uint8
	trim           uint8 // of the target when the attempt began
	compared       uint8 // 1: the stamp of the trim was compared
}

// incarnation is one life of a broker: its process, its PUTs, its objects, and its key inc/<i>.
type incarnation struct {
	objects    [maxSeqs + 1]object
	sections   [maxSeqs]section
	puts       [maxSeqs]put
	stray      uint8 // bit per seq: a copy of the PUT that may still arrive
	next       uint8 // seq of the next PUT
	acked      uint8 // every PUT below is durable, and its records acknowledged
	ackedSeqs  uint8 // bit per seq, for the invariants
	dropped    uint8 // 1: has given up its state, takes no more step
	sealedAt   uint8 // inc/<i>: 0 open, 1+k sealed@k
	trim       uint8 // inc/<i>: objects below may be gone
	trimWanted uint8 // a deleter's calculation, 0: none
	cut        uint8 // 1: began before the metadata was set back, and reaches it no more
	trimStamp  uint8 // in the bucket: objects below may be gone
	trimLate   uint8 // a trim that was noted in the metadata of before, and of which the stamp is still to come
	sealing    sealing
	owns       [maxShards]ownership
}

// state is everything. It consists of bytes only, so that its memory is its canonical form.
type state struct {
	pointers    [maxShards]pointer
	handOvers   [maxShards]handOver
	checkpoints [maxShards]checkpoint           // given up by their owner, still on their way
	assignments [2]assignment                   // of controllers that stall
	acked       [maxShards][maxOffsets]recordID // what producers were told
	used        uint8                           // bit per incarnation that ever was an owner

	claims    [maxShards]claim
	manifests [maxShards]uint8 // how many were published
	snapshot  saved
	setBack   uint8 // 1: the metadata is older than the bucket, or was

	produces, moves, faults, published uint8

	incs [maxIncarnations]incarnation // last, since the hash ends with those that there are
}

// initial is a cluster in which incarnation 0 serves every shard, and no object was ever written.
func initial(p *protocol) state {
	var s state
	s.used = 1
	for shard := range p.Shards {
		s.pointers[shard].epoch = 1
		s.incs[0].owns[shard] = ownership{phase: serving, epoch: 1}
		if p.SetBack {
			s.claims[shard] = claim{1, 1}
		}
	}
	return s
}

// hash is 64 bits of the state, of which incarnations count. Two states with one hash would be taken for one; of n states
// some are with probability n x n / 2^65, about 10^-5 for 20 million.
func (s *state) hash(incarnations int) uint64 {
	const k0, k1, k2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f
	size := unsafe.Offsetof(s.incs) + uintptr(incarnations)*unsafe.Sizeof(s.incs[0])
	b := unsafe.Slice((*byte)(unsafe.Pointer(s)), size) // a state is bytes without padding
	g, h := uint64(k0), uint64(k1)
	for ; len(b) >= 16; b = b[16:] {
		g = (g ^ binary.LittleEndian.Uint64(b)) * k1
		h = (h ^ binary.LittleEndian.Uint64(b[8:])) * k2
		g ^= g >> 32
		h ^= h >> 29
	}
	for _, c := range b {
		g = (g ^ uint64(c)) * k1
		g ^= g >> 32
	}
	g ^= bits.RotateLeft64(h*k0, 31)
	g = (g ^ g>>32) * k2
	return g ^ g>>29
}

// firstGap is the first seq from start on that is not data: where a sealer puts its seal.
func (i *incarnation) firstGap(start int) int {
	for start < maxSeqs && i.objects[start] == data {
		start++
	}
	return start
}
