package kafka

import (
	"errors"
	"fmt"
	"strconv"
)

// Error is a Kafka error code as it stands in a response. It is an error itself, so that code below the protocol can
// return it, plain or wrapped, and test for it with errors.Is. The zero value is None, which means success and must
// not be returned as an error: a function that succeeds returns nil.
type Error int16

// The error codes of Kafka 4.4. A code that Kafka adds later is still an Error: it has the name "UNKNOWN_CODE_n".
const (
	UnknownServerError                     Error = -1
	None                                   Error = 0
	OffsetOutOfRange                       Error = 1
	CorruptMessage                         Error = 2
	UnknownTopicOrPartition                Error = 3
	InvalidFetchSize                       Error = 4
	LeaderNotAvailable                     Error = 5
	NotLeaderOrFollower                    Error = 6
	RequestTimedOut                        Error = 7
	BrokerNotAvailable                     Error = 8
	ReplicaNotAvailable                    Error = 9
	MessageTooLarge                        Error = 10
	StaleControllerEpoch                   Error = 11
	OffsetMetadataTooLarge                 Error = 12
	NetworkException                       Error = 13
	CoordinatorLoadInProgress              Error = 14
	CoordinatorNotAvailable                Error = 15
	NotCoordinator                         Error = 16
	InvalidTopicException                  Error = 17
	RecordListTooLarge                     Error = 18
	NotEnoughReplicas                      Error = 19
	NotEnoughReplicasAfterAppend           Error = 20
	InvalidRequiredAcks                    Error = 21
	IllegalGeneration                      Error = 22
	InconsistentGroupProtocol              Error = 23
	InvalidGroupID                         Error = 24
	UnknownMemberID                        Error = 25
	InvalidSessionTimeout                  Error = 26
	RebalanceInProgress                    Error = 27
	InvalidCommitOffsetSize                Error = 28
	TopicAuthorizationFailed               Error = 29
	GroupAuthorizationFailed               Error = 30
	ClusterAuthorizationFailed             Error = 31
	InvalidTimestamp                       Error = 32
	UnsupportedSASLMechanism               Error = 33
	IllegalSASLState                       Error = 34
	UnsupportedVersion                     Error = 35
	TopicAlreadyExists                     Error = 36
	InvalidPartitions                      Error = 37
	InvalidReplicationFactor               Error = 38
	InvalidReplicaAssignment               Error = 39
	InvalidConfig                          Error = 40
	NotController                          Error = 41
	InvalidRequest                         Error = 42
	UnsupportedForMessageFormat            Error = 43
	PolicyViolation                        Error = 44
	OutOfOrderSequenceNumber               Error = 45
	DuplicateSequenceNumber                Error = 46
	InvalidProducerEpoch                   Error = 47
	InvalidTxnState                        Error = 48
	InvalidProducerIDMapping               Error = 49
	InvalidTransactionTimeout              Error = 50
	ConcurrentTransactions                 Error = 51
	TransactionCoordinatorFenced           Error = 52
	TransactionalIDAuthorizationFailed     Error = 53
	SecurityDisabled                       Error = 54
	OperationNotAttempted                  Error = 55
	StorageError                           Error = 56
	LogDirNotFound                         Error = 57
	SASLAuthenticationFailed               Error = 58
	UnknownProducerID                      Error = 59
	ReassignmentInProgress                 Error = 60
	DelegationTokenAuthDisabled            Error = 61
	DelegationTokenNotFound                Error = 62
	DelegationTokenOwnerMismatch           Error = 63
	DelegationTokenRequestNotAllowed       Error = 64
	DelegationTokenAuthorizationFailed     Error = 65
	DelegationTokenExpired                 Error = 66
	InvalidPrincipalType                   Error = 67
	NonEmptyGroup                          Error = 68
	GroupIDNotFound                        Error = 69
	FetchSessionIDNotFound                 Error = 70
	InvalidFetchSessionEpoch               Error = 71
	ListenerNotFound                       Error = 72
	TopicDeletionDisabled                  Error = 73
	FencedLeaderEpoch                      Error = 74
	UnknownLeaderEpoch                     Error = 75
	UnsupportedCompressionType             Error = 76
	StaleBrokerEpoch                       Error = 77
	OffsetNotAvailable                     Error = 78
	MemberIDRequired                       Error = 79
	PreferredLeaderNotAvailable            Error = 80
	GroupMaxSizeReached                    Error = 81
	FencedInstanceID                       Error = 82
	EligibleLeadersNotAvailable            Error = 83
	ElectionNotNeeded                      Error = 84
	NoReassignmentInProgress               Error = 85
	GroupSubscribedToTopic                 Error = 86
	InvalidRecord                          Error = 87
	UnstableOffsetCommit                   Error = 88
	ThrottlingQuotaExceeded                Error = 89
	ProducerFenced                         Error = 90
	ResourceNotFound                       Error = 91
	DuplicateResource                      Error = 92
	UnacceptableCredential                 Error = 93
	InconsistentVoterSet                   Error = 94
	InvalidUpdateVersion                   Error = 95
	FeatureUpdateFailed                    Error = 96
	PrincipalDeserializationFailure        Error = 97
	SnapshotNotFound                       Error = 98
	PositionOutOfRange                     Error = 99
	UnknownTopicID                         Error = 100
	DuplicateBrokerRegistration            Error = 101
	BrokerIDNotRegistered                  Error = 102
	InconsistentTopicID                    Error = 103
	InconsistentClusterID                  Error = 104
	TransactionalIDNotFound                Error = 105
	FetchSessionTopicIDError               Error = 106
	IneligibleReplica                      Error = 107
	NewLeaderElected                       Error = 108
	OffsetMovedToTieredStorage             Error = 109
	FencedMemberEpoch                      Error = 110
	UnreleasedInstanceID                   Error = 111
	UnsupportedAssignor                    Error = 112
	StaleMemberEpoch                       Error = 113
	MismatchedEndpointType                 Error = 114
	UnsupportedEndpointType                Error = 115
	UnknownControllerID                    Error = 116
	UnknownSubscriptionID                  Error = 117
	TelemetryTooLarge                      Error = 118
	InvalidRegistration                    Error = 119
	TransactionAbortable                   Error = 120
	InvalidRecordState                     Error = 121
	ShareSessionNotFound                   Error = 122
	InvalidShareSessionEpoch               Error = 123
	FencedStateEpoch                       Error = 124
	InvalidVoterKey                        Error = 125
	DuplicateVoter                         Error = 126
	VoterNotFound                          Error = 127
	InvalidRegularExpression               Error = 128
	RebootstrapRequired                    Error = 129
	StreamsInvalidTopology                 Error = 130
	StreamsInvalidTopologyEpoch            Error = 131
	StreamsTopologyFenced                  Error = 132
	ShareSessionLimitReached               Error = 133
	GroupDeletionFailed                    Error = 134
	StreamsTopologyDescriptionUpdateFailed Error = 135
	ControllerIDNotRegistered              Error = 136
)

// NumErrors is one more than the highest code that this package knows; codes run from -1.
const NumErrors = int(ControllerIDNotRegistered) + 1

type errorInfo struct {
	name      string
	message   string
	retriable bool
}

// errorTable is indexed by code + 1, since the lowest code is -1. It is never changed.
var errorTable = [NumErrors + 1]errorInfo{
	UnknownServerError + 1:                     {"UNKNOWN_SERVER_ERROR", "The server met a fault it has no code for.", false},
	None + 1:                                   {"NONE", "No error.", false},
	OffsetOutOfRange + 1:                       {"OFFSET_OUT_OF_RANGE", "The offset lies outside what the partition holds.", false},
	CorruptMessage + 1:                         {"CORRUPT_MESSAGE", "A record batch is damaged: its checksum or its size is wrong.", true},
	UnknownTopicOrPartition + 1:                {"UNKNOWN_TOPIC_OR_PARTITION", "This broker knows no such topic or partition.", true},
	InvalidFetchSize + 1:                       {"INVALID_FETCH_SIZE", "The fetch asks for an impossible number of bytes.", false},
	LeaderNotAvailable + 1:                     {"LEADER_NOT_AVAILABLE", "The partition has no leader at the moment.", true},
	NotLeaderOrFollower + 1:                    {"NOT_LEADER_OR_FOLLOWER", "This broker does not serve the partition now; refresh the metadata.", true},
	RequestTimedOut + 1:                        {"REQUEST_TIMED_OUT", "The request was not finished in the time it allowed.", true},
	BrokerNotAvailable + 1:                     {"BROKER_NOT_AVAILABLE", "The broker cannot be reached.", false},
	ReplicaNotAvailable + 1:                    {"REPLICA_NOT_AVAILABLE", "The partition's replica cannot be reached.", true},
	MessageTooLarge + 1:                        {"MESSAGE_TOO_LARGE", "The record batch is larger than the topic allows.", false},
	StaleControllerEpoch + 1:                   {"STALE_CONTROLLER_EPOCH", "Another controller has taken over.", false},
	OffsetMetadataTooLarge + 1:                 {"OFFSET_METADATA_TOO_LARGE", "The metadata text of the offset commit is too long.", false},
	NetworkException + 1:                       {"NETWORK_EXCEPTION", "The connection ended before the answer arrived.", true},
	CoordinatorLoadInProgress + 1:              {"COORDINATOR_LOAD_IN_PROGRESS", "The coordinator is still reading its log; try again.", true},
	CoordinatorNotAvailable + 1:                {"COORDINATOR_NOT_AVAILABLE", "No coordinator is available now; try again.", true},
	NotCoordinator + 1:                         {"NOT_COORDINATOR", "This broker is not the coordinator; look it up again.", true},
	InvalidTopicException + 1:                  {"INVALID_TOPIC_EXCEPTION", "The topic's name or kind does not permit the operation.", false},
	RecordListTooLarge + 1:                     {"RECORD_LIST_TOO_LARGE", "The record batch does not fit into a segment.", false},
	NotEnoughReplicas + 1:                      {"NOT_ENOUGH_REPLICAS", "Too few in-sync replicas to accept the write.", true},
	NotEnoughReplicasAfterAppend + 1:           {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", "The write was stored, but by fewer in-sync replicas than required.", true},
	InvalidRequiredAcks + 1:                    {"INVALID_REQUIRED_ACKS", "Required acks must be 0, 1 or -1.", false},
	IllegalGeneration + 1:                      {"ILLEGAL_GENERATION", "The generation is not the group's current one.", false},
	InconsistentGroupProtocol + 1:              {"INCONSISTENT_GROUP_PROTOCOL", "The member shares no protocol with the rest of the group, or named none.", false},
	InvalidGroupID + 1:                         {"INVALID_GROUP_ID", "The group id is not acceptable.", false},
	UnknownMemberID + 1:                        {"UNKNOWN_MEMBER_ID", "The group has no such member.", false},
	InvalidSessionTimeout + 1:                  {"INVALID_SESSION_TIMEOUT", "The session timeout is outside the broker's bounds group.min.session.timeout.ms and group.max.session.timeout.ms.", false},
	RebalanceInProgress + 1:                    {"REBALANCE_IN_PROGRESS", "The group is rebalancing; join again.", false},
	InvalidCommitOffsetSize + 1:                {"INVALID_COMMIT_OFFSET_SIZE", "The offset commit has an impossible size.", false},
	TopicAuthorizationFailed + 1:               {"TOPIC_AUTHORIZATION_FAILED", "The principal may not use this topic in this way.", false},
	GroupAuthorizationFailed + 1:               {"GROUP_AUTHORIZATION_FAILED", "The principal may not use this group in this way.", false},
	ClusterAuthorizationFailed + 1:             {"CLUSTER_AUTHORIZATION_FAILED", "The principal may not do this to the cluster.", false},
	InvalidTimestamp + 1:                       {"INVALID_TIMESTAMP", "A record's timestamp is outside the accepted range.", false},
	UnsupportedSASLMechanism + 1:               {"UNSUPPORTED_SASL_MECHANISM", "This listener does not offer the SASL mechanism.", false},
	IllegalSASLState + 1:                       {"ILLEGAL_SASL_STATE", "The request does not fit the state of the SASL exchange.", false},
	UnsupportedVersion + 1:                     {"UNSUPPORTED_VERSION", "The version of this request, or a value in it, is not served.", false},
	TopicAlreadyExists + 1:                     {"TOPIC_ALREADY_EXISTS", "A topic of this name exists.", false},
	InvalidPartitions + 1:                      {"INVALID_PARTITIONS", "The number of partitions is not acceptable.", false},
	InvalidReplicationFactor + 1:               {"INVALID_REPLICATION_FACTOR", "The replication factor is not between 1 and the number of brokers.", false},
	InvalidReplicaAssignment + 1:               {"INVALID_REPLICA_ASSIGNMENT", "The replica assignment is not acceptable.", false},
	InvalidConfig + 1:                          {"INVALID_CONFIG", "A configuration name or value is not acceptable.", false},
	NotController + 1:                          {"NOT_CONTROLLER", "This broker is not the controller.", true},
	InvalidRequest + 1:                         {"INVALID_REQUEST", "The request contradicts itself or the protocol.", false},
	UnsupportedForMessageFormat + 1:            {"UNSUPPORTED_FOR_MESSAGE_FORMAT", "The record format in use cannot serve the request.", false},
	PolicyViolation + 1:                        {"POLICY_VIOLATION", "The request breaks a policy of this cluster.", false},
	OutOfOrderSequenceNumber + 1:               {"OUT_OF_ORDER_SEQUENCE_NUMBER", "The batch does not follow the producer's last sequence number.", false},
	DuplicateSequenceNumber + 1:                {"DUPLICATE_SEQUENCE_NUMBER", "The batch repeats a sequence number that was written before.", false},
	InvalidProducerEpoch + 1:                   {"INVALID_PRODUCER_EPOCH", "The producer's epoch is older than the current one.", false},
	InvalidTxnState + 1:                        {"INVALID_TXN_STATE", "The transaction's state does not permit the operation.", false},
	InvalidProducerIDMapping + 1:               {"INVALID_PRODUCER_ID_MAPPING", "The producer id does not belong to this transactional id.", false},
	InvalidTransactionTimeout + 1:              {"INVALID_TRANSACTION_TIMEOUT", "The transaction timeout is not between 1 and transaction.max.timeout.ms.", false},
	ConcurrentTransactions + 1:                 {"CONCURRENT_TRANSACTIONS", "Another operation on this transactional id has not ended; try again.", true},
	TransactionCoordinatorFenced + 1:           {"TRANSACTION_COORDINATOR_FENCED", "A newer coordinator has taken over this transactional id.", false},
	TransactionalIDAuthorizationFailed + 1:     {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "The principal may not use this transactional id.", false},
	SecurityDisabled + 1:                       {"SECURITY_DISABLED", "The cluster runs without an authorizer.", false},
	OperationNotAttempted + 1:                  {"OPERATION_NOT_ATTEMPTED", "Left out because another part of the request failed.", false},
	StorageError + 1:                           {"KAFKA_STORAGE_ERROR", "The broker's storage failed or is full.", true},
	LogDirNotFound + 1:                         {"LOG_DIR_NOT_FOUND", "The broker has no such log directory.", false},
	SASLAuthenticationFailed + 1:               {"SASL_AUTHENTICATION_FAILED", "The credentials were refused.", false},
	UnknownProducerID + 1:                      {"UNKNOWN_PRODUCER_ID", "Nothing is known of this producer id; its records may have been removed.", false},
	ReassignmentInProgress + 1:                 {"REASSIGNMENT_IN_PROGRESS", "The partition is being moved.", false},
	DelegationTokenAuthDisabled + 1:            {"DELEGATION_TOKEN_AUTH_DISABLED", "Delegation tokens are switched off.", false},
	DelegationTokenNotFound + 1:                {"DELEGATION_TOKEN_NOT_FOUND", "No such delegation token.", false},
	DelegationTokenOwnerMismatch + 1:           {"DELEGATION_TOKEN_OWNER_MISMATCH", "The principal is neither owner nor renewer of the token.", false},
	DelegationTokenRequestNotAllowed + 1:       {"DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "Delegation tokens cannot be asked for over this kind of connection.", false},
	DelegationTokenAuthorizationFailed + 1:     {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", "The principal may not use this delegation token.", false},
	DelegationTokenExpired + 1:                 {"DELEGATION_TOKEN_EXPIRED", "The delegation token has run out.", false},
	InvalidPrincipalType + 1:                   {"INVALID_PRINCIPAL_TYPE", "Principals of this type are not supported.", false},
	NonEmptyGroup + 1:                          {"NON_EMPTY_GROUP", "The group still has members.", false},
	GroupIDNotFound + 1:                        {"GROUP_ID_NOT_FOUND", "No such group.", false},
	FetchSessionIDNotFound + 1:                 {"FETCH_SESSION_ID_NOT_FOUND", "The fetch session is unknown or was evicted; start a new one.", true},
	InvalidFetchSessionEpoch + 1:               {"INVALID_FETCH_SESSION_EPOCH", "The fetch session's epoch is not the expected one; start a new session.", true},
	ListenerNotFound + 1:                       {"LISTENER_NOT_FOUND", "The leader has no listener that matches the one of this connection.", true},
	TopicDeletionDisabled + 1:                  {"TOPIC_DELETION_DISABLED", "Deleting topics is switched off.", false},
	FencedLeaderEpoch + 1:                      {"FENCED_LEADER_EPOCH", "The leader epoch of the request is older than the broker's.", true},
	UnknownLeaderEpoch + 1:                     {"UNKNOWN_LEADER_EPOCH", "The leader epoch of the request is newer than the broker's.", true},
	UnsupportedCompressionType + 1:             {"UNSUPPORTED_COMPRESSION_TYPE", "This version of the request cannot carry the compression in use.", false},
	StaleBrokerEpoch + 1:                       {"STALE_BROKER_EPOCH", "The broker has registered anew since.", false},
	OffsetNotAvailable + 1:                     {"OFFSET_NOT_AVAILABLE", "A new leader has not yet learned the high watermark; try again.", true},
	MemberIDRequired + 1:                       {"MEMBER_ID_REQUIRED", "Join again with the member id of this answer.", false},
	PreferredLeaderNotAvailable + 1:            {"PREFERRED_LEADER_NOT_AVAILABLE", "The preferred leader is not available.", true},
	GroupMaxSizeReached + 1:                    {"GROUP_MAX_SIZE_REACHED", "The group cannot take another member.", false},
	FencedInstanceID + 1:                       {"FENCED_INSTANCE_ID", "Another member took over this group.instance.id.", false},
	EligibleLeadersNotAvailable + 1:            {"ELIGIBLE_LEADERS_NOT_AVAILABLE", "No replica that may lead the partition is available.", true},
	ElectionNotNeeded + 1:                      {"ELECTION_NOT_NEEDED", "The partition already has the wanted leader.", true},
	NoReassignmentInProgress + 1:               {"NO_REASSIGNMENT_IN_PROGRESS", "The partition is not being moved.", false},
	GroupSubscribedToTopic + 1:                 {"GROUP_SUBSCRIBED_TO_TOPIC", "The group is subscribed to the topic, so its offsets cannot be deleted.", false},
	InvalidRecord + 1:                          {"INVALID_RECORD", "The broker refused a record as not valid.", false},
	UnstableOffsetCommit + 1:                   {"UNSTABLE_OFFSET_COMMIT", "An open transaction has offsets pending; try again.", true},
	ThrottlingQuotaExceeded + 1:                {"THROTTLING_QUOTA_EXCEEDED", "A quota is used up; try again later.", true},
	ProducerFenced + 1:                         {"PRODUCER_FENCED", "A newer producer uses this transactional id.", false},
	ResourceNotFound + 1:                       {"RESOURCE_NOT_FOUND", "The request names something that does not exist.", false},
	DuplicateResource + 1:                      {"DUPLICATE_RESOURCE", "The request names the same thing twice.", false},
	UnacceptableCredential + 1:                 {"UNACCEPTABLE_CREDENTIAL", "The credential does not meet the requirements.", false},
	InconsistentVoterSet + 1:                   {"INCONSISTENT_VOTER_SET", "Sender or receiver is not among the expected voters.", false},
	InvalidUpdateVersion + 1:                   {"INVALID_UPDATE_VERSION", "The version to update to is not acceptable.", false},
	FeatureUpdateFailed + 1:                    {"FEATURE_UPDATE_FAILED", "The finalized features could not be changed.", false},
	PrincipalDeserializationFailure + 1:        {"PRINCIPAL_DESERIALIZATION_FAILURE", "The principal of a forwarded request could not be read.", false},
	SnapshotNotFound + 1:                       {"SNAPSHOT_NOT_FOUND", "No such snapshot.", false},
	PositionOutOfRange + 1:                     {"POSITION_OUT_OF_RANGE", "The position lies outside the snapshot.", false},
	UnknownTopicID + 1:                         {"UNKNOWN_TOPIC_ID", "This broker knows no topic with this id.", true},
	DuplicateBrokerRegistration + 1:            {"DUPLICATE_BROKER_REGISTRATION", "Another broker is registered with this id.", false},
	BrokerIDNotRegistered + 1:                  {"BROKER_ID_NOT_REGISTERED", "No broker is registered with this id.", false},
	InconsistentTopicID + 1:                    {"INCONSISTENT_TOPIC_ID", "The topic has another id than the request says.", true},
	InconsistentClusterID + 1:                  {"INCONSISTENT_CLUSTER_ID", "The request is meant for another cluster.", false},
	TransactionalIDNotFound + 1:                {"TRANSACTIONAL_ID_NOT_FOUND", "No such transactional id.", false},
	FetchSessionTopicIDError + 1:               {"FETCH_SESSION_TOPIC_ID_ERROR", "The fetch session mixes topic names and topic ids.", true},
	IneligibleReplica + 1:                      {"INELIGIBLE_REPLICA", "A replica of the new in-sync set may not be in it.", false},
	NewLeaderElected + 1:                       {"NEW_LEADER_ELECTED", "The partition was altered, and its leader changed as well.", false},
	OffsetMovedToTieredStorage + 1:             {"OFFSET_MOVED_TO_TIERED_STORAGE", "The offset is held by tiered storage only.", false},
	FencedMemberEpoch + 1:                      {"FENCED_MEMBER_EPOCH", "The member was fenced; give up all partitions and join again.", false},
	UnreleasedInstanceID + 1:                   {"UNRELEASED_INSTANCE_ID", "Another member holds this instance id and has to leave first.", false},
	UnsupportedAssignor + 1:                    {"UNSUPPORTED_ASSIGNOR", "The group cannot use this assignor.", false},
	StaleMemberEpoch + 1:                       {"STALE_MEMBER_EPOCH", "The member's epoch is out of date; fetch the new one by a heartbeat.", false},
	MismatchedEndpointType + 1:                 {"MISMATCHED_ENDPOINT_TYPE", "The request belongs on another kind of endpoint.", false},
	UnsupportedEndpointType + 1:                {"UNSUPPORTED_ENDPOINT_TYPE", "This kind of endpoint is not supported.", false},
	UnknownControllerID + 1:                    {"UNKNOWN_CONTROLLER_ID", "No controller with this id.", false},
	UnknownSubscriptionID + 1:                  {"UNKNOWN_SUBSCRIPTION_ID", "The telemetry subscription is unknown or out of date.", false},
	TelemetryTooLarge + 1:                      {"TELEMETRY_TOO_LARGE", "The pushed telemetry is larger than allowed.", false},
	InvalidRegistration + 1:                    {"INVALID_REGISTRATION", "The controller refused the broker's registration.", false},
	TransactionAbortable + 1:                   {"TRANSACTION_ABORTABLE", "The transaction cannot go on; abort it and carry on with the next.", false},
	InvalidRecordState + 1:                     {"INVALID_RECORD_STATE", "The record's delivery state does not permit this acknowledgement.", false},
	ShareSessionNotFound + 1:                   {"SHARE_SESSION_NOT_FOUND", "The share session is unknown; start a new one.", true},
	InvalidShareSessionEpoch + 1:               {"INVALID_SHARE_SESSION_EPOCH", "The share session's epoch is not the expected one; start a new session.", true},
	FencedStateEpoch + 1:                       {"FENCED_STATE_EPOCH", "The share group's state epoch is not the current one.", false},
	InvalidVoterKey + 1:                        {"INVALID_VOTER_KEY", "The voter key is not that of the receiving replica.", false},
	DuplicateVoter + 1:                         {"DUPLICATE_VOTER", "The voter is in the set already.", false},
	VoterNotFound + 1:                          {"VOTER_NOT_FOUND", "The voter is not in the set.", false},
	InvalidRegularExpression + 1:               {"INVALID_REGULAR_EXPRESSION", "The regular expression is not valid.", false},
	RebootstrapRequired + 1:                    {"REBOOTSTRAP_REQUIRED", "The client's metadata is too old; start again from the bootstrap servers.", false},
	StreamsInvalidTopology + 1:                 {"STREAMS_INVALID_TOPOLOGY", "The topology is not valid.", false},
	StreamsInvalidTopologyEpoch + 1:            {"STREAMS_INVALID_TOPOLOGY_EPOCH", "The topology epoch is not valid.", false},
	StreamsTopologyFenced + 1:                  {"STREAMS_TOPOLOGY_FENCED", "A newer topology is in force.", false},
	ShareSessionLimitReached + 1:               {"SHARE_SESSION_LIMIT_REACHED", "No more share sessions can be opened now.", true},
	GroupDeletionFailed + 1:                    {"GROUP_DELETION_FAILED", "The group was not deleted; its own message tells why.", false},
	StreamsTopologyDescriptionUpdateFailed + 1: {"STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", "The topology description was not taken over; the message tells why.", false},
	ControllerIDNotRegistered + 1:              {"CONTROLLER_ID_NOT_REGISTERED", "No controller is registered with this id.", false},
}

func (e Error) info() errorInfo {
	if e < UnknownServerError || int(e) >= NumErrors {
		return errorInfo{name: "UNKNOWN_CODE_" + strconv.Itoa(int(e)), message: "The peer answered with a code that is not known here."}
	}
	return errorTable[int(e)+1]
}

// Code returns the number that goes on the wire.
func (e Error) Code() int16 { return int16(e) }

// Name returns Kafka's name of the code, such as "OFFSET_OUT_OF_RANGE".
func (e Error) Name() string { return e.info().name }

// Message returns one sentence for humans.
func (e Error) Message() string { return e.info().message }

// Retriable tells whether Kafka's Java client treats the code as one that a later attempt may cure.
func (e Error) Retriable() bool { return e.info().retriable }

// Error returns name and message, such as "GROUP_ID_NOT_FOUND: No such group.".
func (e Error) Error() string {
	info := e.info()
	return info.name + ": " + info.message
}

// Err returns e as an error, or nil for None.
func (e Error) Err() error {
	if e == None {
		return nil
	}
	return e
}

// Detail is an Error with a text of its own for the client: the error_message field of a response. The text is shown to
// whoever sent the request, so it must hold nothing that the sender may not see. errors.Is(detail, detail.Err) holds.
type Detail struct {
	Err  Error
	Text string
}

// Errorf returns a *Detail with the formatted text.
func Errorf(code Error, format string, args ...any) error {
	return &Detail{Err: code, Text: fmt.Sprintf(format, args...)}
}

// Error returns the code's name and the text.
func (d *Detail) Error() string { return d.Err.Name() + ": " + d.Text }

// Unwrap returns the code.
func (d *Detail) Unwrap() error { return d.Err }

// CodeOf returns the code that err carries: None for nil, the code of the first *Detail or Error in its chain, and
// UnknownServerError for any other error.
func CodeOf(err error) Error {
	if err == nil {
		return None
	}
	if e, ok := errors.AsType[Error](err); ok {
		return e
	}
	return UnknownServerError
}
