package api

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kmsg"
)

//go:generate go run ../../../tools/apidoc ../../../docs/api.md

// entry lists one API key: the versions that are served and who serves them.
type entry struct {
	key      kmsg.Key
	min, max int16
	handle   handler
	name     string
	// advertised is the lowest version that ApiVersions names, where it lies below min.
	advertised int16
}

func (e *entry) serves() int16 { return e.min }

func row(key kmsg.Key, lowest, highest int16, h handler) entry {
	return entry{key: key, min: lowest, max: highest, handle: h, name: key.Name(), advertised: lowest}
}

// table returns the only list of what is served. ApiVersions, docs/api.md and the tests read it.
//
// Produce is advertised from 0 although only 3 and up are served: librdkafka before 2.x looks for the old versions to
// decide what the broker can do, and then sends a new one (KAFKA-18659).
func table() []entry {
	produce := row(kmsg.Produce, 3, 13, (*Server).produce)
	produce.advertised = 0
	return []entry{
		produce,
		row(kmsg.Fetch, 4, 18, (*Server).fetch),
		row(kmsg.ListOffsets, 1, 11, serve((*Server).listOffsets)),
		row(kmsg.Metadata, 0, 13, serve((*Server).metadata)),
		row(kmsg.OffsetCommit, 2, 10, serve((*Server).offsetCommit)),
		row(kmsg.OffsetFetch, 1, 10, serve((*Server).offsetFetch)),
		row(kmsg.FindCoordinator, 0, 6, serve((*Server).findCoordinator)),
		row(kmsg.JoinGroup, 0, 9, serve((*Server).joinGroup)),
		row(kmsg.Heartbeat, 0, 4, serve((*Server).heartbeat)),
		row(kmsg.LeaveGroup, 0, 5, serve((*Server).leaveGroup)),
		row(kmsg.SyncGroup, 0, 5, serve((*Server).syncGroup)),
		row(kmsg.DescribeGroups, 0, 6, serve((*Server).describeGroups)),
		row(kmsg.ListGroups, 0, 5, serve((*Server).listGroups)),
		row(kmsg.ApiVersions, 0, 4, serve((*Server).apiVersions)),
		row(kmsg.CreateTopics, 2, 7, serve((*Server).createTopics)),
		row(kmsg.DeleteTopics, 1, 6, serve((*Server).deleteTopics)),
		row(kmsg.DeleteRecords, 0, 2, serve((*Server).deleteRecords)),
		row(kmsg.InitProducerID, 0, 5, serve((*Server).initProducerID)),
		row(kmsg.OffsetForLeaderEpoch, 2, 4, serve((*Server).offsetForLeaderEpoch)),
		row(kmsg.DescribeConfigs, 1, 4, serve((*Server).describeConfigs)),
		row(kmsg.AlterConfigs, 0, 2, serve((*Server).alterConfigs)),
		row(kmsg.DescribeLogDirs, 1, 5, serve((*Server).describeLogDirs)),
		row(kmsg.CreatePartitions, 0, 3, serve((*Server).createPartitions)),
		row(kmsg.DeleteGroups, 0, 2, serve((*Server).deleteGroups)),
		row(kmsg.IncrementalAlterConfigs, 0, 1, serve((*Server).incrementalAlterConfigs)),
		row(kmsg.OffsetDelete, 0, 0, serve((*Server).offsetDelete)),
		row(kmsg.DescribeCluster, 0, 2, serve((*Server).describeCluster)),
		row(kmsg.DescribeProducers, 0, 0, serve((*Server).describeProducers)),
		row(kmsg.ListConfigResources, 0, 1, serve((*Server).listConfigResources)),
		row(kmsg.DescribeTopicPartitions, 0, 0, serve((*Server).describeTopicPartitions)),
	}
}

// Row is what docs/api.md says of a key: the versions that are served, the lowest that is advertised, and the file of
// the handler.
type Row struct {
	Key                  int16
	Name, File           string
	Min, Max, Advertised int16
}

// Served returns the rows of the table in order of key.
func Served() []Row {
	var rows []Row
	for _, e := range table() {
		rows = append(rows, Row{Key: int16(e.key), Name: e.name, File: fileOf(e.key), Min: e.min, Max: e.max, Advertised: e.advertised})
	}
	return rows
}

// fileOf returns the name of a handler's file: 22_init_producer_id.go for InitProducerID.
func fileOf(key kmsg.Key) string {
	var b strings.Builder
	name := []rune(key.Name())
	for i, r := range name {
		// A word begins at a capital letter, and a run of capitals such as ID is one word.
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(name[i-1]) || i+1 < len(name) && unicode.IsLower(name[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return fmt.Sprintf("%02d_%s.go", int16(key), b.String())
}
