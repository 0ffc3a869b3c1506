package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/platform/gate"
)

// Configurations of v3.
type (
	// Config is a configuration of a topic, a broker or all brokers; TopicName, BrokerID and ConfigType say of which.
	Config struct {
		Kind        string    `json:"kind"`
		Metadata    Metadata  `json:"metadata"`
		ClusterID   string    `json:"cluster_id"`
		TopicName   string    `json:"topic_name,omitempty"`
		BrokerID    *int32    `json:"broker_id,omitempty"`
		ConfigType  string    `json:"config_type,omitempty"`
		Name        string    `json:"name"`
		Value       *string   `json:"value"`
		IsDefault   bool      `json:"is_default"`
		IsReadOnly  bool      `json:"is_read_only"`
		IsSensitive bool      `json:"is_sensitive"`
		Source      string    `json:"source"`
		Synonyms    []Synonym `json:"synonyms"`
	}
	// Synonym is another place where the value might come from.
	Synonym struct {
		Name   string  `json:"name"`
		Value  *string `json:"value"`
		Source string  `json:"source"`
	}
	// ConfigList lists configurations.
	ConfigList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Config     `json:"data"`
	}
	// ConfigValue sets one.
	ConfigValue struct {
		Value *string `json:"value"`
	}
	// AlterConfigs sets and deletes many.
	AlterConfigs struct {
		Data         []AlterConfig `json:"data" openapi:"required"`
		ValidateOnly bool          `json:"validate_only,omitempty"`
	}
	// AlterConfig sets (the default) or deletes one.
	AlterConfig struct {
		Name      string  `json:"name" openapi:"required"`
		Value     *string `json:"value"`
		Operation string  `json:"operation,omitempty"`
	}
)

// owner is what has configurations: a topic, a broker, or all brokers (a broker without a name).
type owner struct {
	kind kmsg.ConfigResourceType
	name string
	at   place
}

func ownerOf(r inCluster) owner {
	if topic := r.PathValue("topic_name"); topic != "" {
		return owner{kmsg.ConfigResourceTypeTopic, topic, r.at.topic(topic)}
	}
	if id := r.PathValue("broker_id"); id != "" {
		return owner{kmsg.ConfigResourceTypeBroker, id, r.at.at("broker="+id, "brokers", id)}
	}
	return owner{kmsg.ConfigResourceTypeBroker, "", r.at}
}

// segment is the name of the owner's list of configurations.
func (o owner) segment() string {
	if o.kind == kmsg.ConfigResourceTypeBroker && o.name == "" {
		return "broker-configs"
	}
	return "configs"
}

func (o owner) kindOf() string {
	switch {
	case o.kind == kmsg.ConfigResourceTypeTopic:
		return "KafkaTopicConfig"
	case o.name == "":
		return "KafkaClusterConfig"
	}
	return "KafkaBrokerConfig"
}

// check finds out whether the owner exists, where the cluster would not say.
func (o owner) check(r inCluster) error {
	if o.kind == kmsg.ConfigResourceTypeBroker && o.name != "" {
		_, err := findBroker(r)
		return err
	}
	if o.kind == kmsg.ConfigResourceTypeTopic {
		_, err := topicOf(r.Context(), r.client, o.name, false)
		return v3Missing(err)
	}
	return nil
}

// describeConfigs asks for configurations of topics or brokers, all for no names, by the name of their owner.
func describeConfigs(ctx context.Context, cl *kgo.Client, kind kmsg.ConfigResourceType, owners, names []string) (map[string][]kmsg.DescribeConfigsResponseResourceConfig, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	for _, o := range owners {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kind, o, names
		req.Resources = append(req.Resources, resource)
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("describe configurations: %w", err)
	}
	out := map[string][]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, resource := range res.Resources {
		if err := coded(resource.ErrorCode, resource.ErrorMessage); err != nil {
			return nil, err
		}
		slices.SortFunc(resource.Configs, func(a, b kmsg.DescribeConfigsResponseResourceConfig) int { return strings.Compare(a.Name, b.Name) })
		out[resource.ResourceName] = resource.Configs
	}
	return out, nil
}

func configData(r inCluster, o owner, c *kmsg.DescribeConfigsResponseResourceConfig) Config {
	crn := "config=" + c.Name
	if o.segment() == "broker-configs" {
		crn = "broker-config=" + c.Name
	}
	out := Config{
		Kind: o.kindOf(), Metadata: o.at.at(crn, o.segment(), c.Name).metadata(), ClusterID: r.id, Name: c.Name, Value: c.Value,
		IsDefault: c.Source == kmsg.ConfigSourceDefaultConfig, IsReadOnly: c.ReadOnly, IsSensitive: c.IsSensitive, Source: c.Source.String(), Synonyms: []Synonym{},
	}
	switch {
	case o.kind == kmsg.ConfigResourceTypeTopic:
		out.TopicName = o.name
	case o.name == "":
		out.ConfigType = "BROKER"
	default:
		if id, err := strconv.ParseInt(o.name, 10, 32); err == nil {
			n := int32(id)
			out.BrokerID = &n
		}
	}
	for _, s := range c.ConfigSynonyms {
		out.Synonyms = append(out.Synonyms, Synonym{s.Name, s.Value, s.Source.String()})
	}
	return out
}

func (s *Server) v3ListConfigs(w http.ResponseWriter, r inCluster) error {
	o := ownerOf(r)
	if err := o.check(r); err != nil {
		return err
	}
	configs, err := describeConfigs(r.Context(), r.client, o.kind, []string{o.name}, nil)
	if err != nil {
		return err
	}
	out := ConfigList{o.kindOf() + "List", o.at.at("", o.segment()).list(), []Config{}}
	for _, c := range configs[o.name] {
		out.Data = append(out.Data, configData(r, o, &c))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

// findConfig returns one configuration of an owner.
func findConfig(r inCluster, o owner, name string) (*kmsg.DescribeConfigsResponseResourceConfig, error) {
	if err := o.check(r); err != nil {
		return nil, err
	}
	configs, err := describeConfigs(r.Context(), r.client, o.kind, []string{o.name}, nil)
	if err != nil {
		return nil, err
	}
	for _, c := range configs[o.name] {
		if c.Name == name {
			return &c, nil
		}
	}
	if o.name == "" {
		return nil, notFound("Config %s cannot be found for all brokers of cluster %s.", name, r.id)
	}
	return nil, notFound("Config %s cannot be found for %s %s in cluster %s.", name, o.kind, o.name, r.id)
}

func (s *Server) v3GetConfig(w http.ResponseWriter, r inCluster) error {
	o := ownerOf(r)
	c, err := findConfig(r, o, r.PathValue("name"))
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, configData(r, o, c))
}

func (s *Server) v3PutConfig(w http.ResponseWriter, r inCluster) error {
	var in ConfigValue
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	return s.alterOne(w, r, AlterConfig{Name: r.PathValue("name"), Value: in.Value})
}

func (s *Server) v3DeleteConfig(w http.ResponseWriter, r inCluster) error {
	return s.alterOne(w, r, AlterConfig{Name: r.PathValue("name"), Operation: "DELETE"})
}

func (s *Server) alterOne(w http.ResponseWriter, r inCluster, change AlterConfig) error {
	o := ownerOf(r)
	if o.segment() == "configs" { // of all brokers, only those that are set are listed
		if _, err := findConfig(r, o, change.Name); err != nil {
			return err
		}
	}
	if err := alterConfigs(r, o, []AlterConfig{change}, false); err != nil {
		return err
	}
	return noContent(w)
}

func (s *Server) v3AlterConfigs(w http.ResponseWriter, r inCluster) error {
	var in AlterConfigs
	if err := gate.ReadJSON(r.Request, &in, false); err != nil {
		return err
	}
	o := ownerOf(r)
	if err := o.check(r); err != nil {
		return err
	}
	if len(in.Data) == 0 {
		return gate.Errorf(http.StatusUnprocessableEntity, "data must not be empty")
	}
	if err := alterConfigs(r, o, in.Data, in.ValidateOnly); err != nil {
		return err
	}
	return noContent(w)
}

func alterConfigs(r inCluster, o owner, changes []AlterConfig, validateOnly bool) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = validateOnly
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = o.kind, o.name
	for _, change := range changes {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = change.Name, change.Value
		switch strings.ToUpper(change.Operation) {
		case "", "SET":
			if change.Value == nil {
				return gate.Errorf(codeKafkaBadRequest, "%s: a value is needed; the operation DELETE sets it back", change.Name)
			}
		case "DELETE":
			c.Op, c.Value = kmsg.IncrementalAlterConfigOpDelete, nil
		case "APPEND":
			c.Op = kmsg.IncrementalAlterConfigOpAppend
		case "SUBTRACT":
			c.Op = kmsg.IncrementalAlterConfigOpSubtract
		default:
			return badRequest("operation %q is not one of SET, DELETE, APPEND, SUBTRACT", change.Operation)
		}
		resource.Configs = append(resource.Configs, c)
	}
	req.Resources = append(req.Resources, resource)
	res, err := req.RequestWith(r.Context(), r.client)
	if err != nil {
		return fmt.Errorf("alter configurations: %w", err)
	}
	for _, answered := range res.Resources {
		if err := coded(answered.ErrorCode, answered.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) v3AllTopicConfigs(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, nil, false)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range res.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	out := ConfigList{"KafkaTopicConfigList", r.at.at("", "topics", "-", "configs").list(), []Config{}}
	if len(names) > 0 {
		configs, err := describeConfigs(r.Context(), r.client, kmsg.ConfigResourceTypeTopic, names, nil)
		if err != nil {
			return err
		}
		for _, name := range names {
			for _, c := range configs[name] {
				out.Data = append(out.Data, configData(r, owner{kmsg.ConfigResourceTypeTopic, name, r.at.topic(name)}, &c))
			}
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}

func (s *Server) v3AllBrokerConfigs(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, []string{}, false)
	if err != nil {
		return err
	}
	out := ConfigList{"KafkaBrokerConfigList", r.at.at("", "brokers", "-", "configs").list(), []Config{}}
	for _, b := range res.Brokers {
		id := itoa(b.NodeID)
		configs, err := describeConfigs(r.Context(), r.client, kmsg.ConfigResourceTypeBroker, []string{id}, nil)
		if err != nil {
			return err
		}
		for _, c := range configs[id] {
			out.Data = append(out.Data, configData(r, owner{kmsg.ConfigResourceTypeBroker, id, r.at.broker(b.NodeID)}, &c))
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}
