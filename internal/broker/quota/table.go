package quota

// Kind is what a quota limits.
type Kind uint8

// The kinds of quotas of users and client ids. Their units are bytes, bytes, hundredths of a second of one processor, and
// partitions created or deleted; each a second.
const (
	Produce Kind = iota
	Fetch
	Request
	Mutation
	kinds
)

// keys are the names of the quotas of each kind.
var keys = [kinds]string{ProducerByteRate, ConsumerByteRate, RequestPercentage, ControllerMutationRate}

// String is how Kafka's metrics call the kind.
func (k Kind) String() string {
	return [...]string{"Produce", "Fetch", "Request", "ControllerMutation"}[k]
}

// Client is whom quotas are looked up for.
type Client struct{ User, ID string }

// table is an immutable set of quotas.
type table struct {
	byKind [kinds]limits
	ip     map[string]float64 // connections a second
	anyIP  float64            // 0: no limit
}

// limits are the quotas of one kind by entity; nil for none.
type limits map[Entity]float64

func newTable(entries []Entry) *table {
	t := &table{}
	for _, e := range entries {
		for k, key := range keys {
			if v, ok := e.Quotas[key]; ok && v > 0 && !e.Entity.IP.Set {
				if t.byKind[k] == nil {
					t.byKind[k] = limits{}
				}
				t.byKind[k][e.Entity] = v
			}
		}
		v, ok := e.Quotas[ConnectionCreationRate]
		switch {
		case !ok || !(v > 0) || !e.Entity.IP.Set:
		case e.Entity.IP.Default:
			t.anyIP = v
		default:
			if t.ip == nil {
				t.ip = map[string]float64{}
			}
			t.ip[e.Entity.IP.Name] = v
		}
	}
	return t
}

// find is the limit of a client and who shares it: the client with the side that does not matter left empty.
func (l limits) find(c Client) (limit float64, sharer Client, ok bool) {
	user, id := Named(c.User), Named(c.ID)
	for _, level := range [...]struct {
		e      Entity
		sharer Client
	}{
		{Entity{User: user, ClientID: id}, c},
		{Entity{User: user, ClientID: Any()}, c},
		{Entity{User: user}, Client{User: c.User}},
		{Entity{User: Any(), ClientID: id}, c},
		{Entity{User: Any(), ClientID: Any()}, c},
		{Entity{User: Any()}, Client{User: c.User}},
		{Entity{ClientID: id}, Client{ID: c.ID}},
		{Entity{ClientID: Any()}, Client{ID: c.ID}},
	} {
		if limit, ok := l[level.e]; ok {
			return limit, level.sharer, true
		}
	}
	return 0, Client{}, false
}
