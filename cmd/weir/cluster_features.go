package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/cli/table"
)

// featureRow is a feature as it is printed: the level in force, and those that the brokers could be at.
type featureRow struct {
	Name    string `json:"name"`
	Level   int16  `json:"level"`
	Lowest  int16  `json:"lowest"`
	Highest int16  `json:"highest"`
}

// How a level shall move, with the protocol's numbers.
const (
	featureUpgrade         = 1
	featureDowngrade       = 2
	featureUnsafeDowngrade = 3
)

type featureOptions struct {
	upgrades, downgrades []string
	unsafe, dryRun, yes  bool
}

func newClusterFeaturesCommand(s *session) *cobra.Command {
	var o featureOptions
	cmd := &cobra.Command{
		Use:   "features",
		Short: "List the features of the cluster, or change their levels",
		Long: `List the features of the cluster with the level in force, by which clients choose protocols, and the levels that its
brokers can be at. --upgrade and --downgrade change levels, all that are named or none; level 0 turns a feature off. A dry run
asks the cluster whether it would. A downgrade is confirmed first: clients that use the feature lose it.`,
		Example: `  weir cluster features
  weir cluster features --upgrade share.version=1 --dry-run
  weir cluster features --downgrade group.version=0 --yes`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.upgrades)+len(o.downgrades) == 0 {
				return s.listFeatures(cmd.Context())
			}
			return s.changeFeatures(cmd.Context(), &o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.upgrades, "upgrade", nil, "`NAME=LEVEL` to go up to; repeatable")
	f.StringSliceVar(&o.downgrades, "downgrade", nil, "`NAME=LEVEL` to go down to; repeatable")
	f.BoolVar(&o.unsafe, "unsafe", false, "go down even if metadata may be lost")
	f.BoolVar(&o.dryRun, "dry-run", false, "only ask the cluster whether it would do it")
	f.BoolVarP(&o.yes, "yes", "y", false, "downgrade without asking")
	for _, flag := range []string{"upgrade", "downgrade"} {
		// The error means that the flag does not exist.
		_ = cmd.RegisterFlagCompletionFunc(flag, s.completeFeatures)
	}
	return cmd
}

func (s *session) listFeatures(ctx context.Context) error {
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	rows, err := describeFeatures(ctx, cl)
	if err != nil {
		return err
	}
	t := &table.Table{Columns: []table.Column{{Title: "NAME"}, {Title: "LEVEL", Right: true}, {Title: "LOWEST", Right: true}, {Title: "HIGHEST", Right: true}}}
	for _, r := range rows {
		t.Add(r.Name, strconv.Itoa(int(r.Level)), strconv.Itoa(int(r.Lowest)), strconv.Itoa(int(r.Highest)))
	}
	return s.print(rows, t)
}

// describeFeatures lists what a broker supports, and the levels in force, in the order of their names.
func describeFeatures(ctx context.Context, cl *kgo.Client) ([]featureRow, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "weir", "1"
	res, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for features: %w", err)
	}
	rows := []featureRow{}
	for _, f := range res.SupportedFeatures {
		row := featureRow{Name: f.Name, Lowest: f.MinVersion, Highest: f.MaxVersion}
		for _, x := range res.FinalizedFeatures {
			if x.Name == f.Name {
				row.Level = x.MaxVersionLevel
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b featureRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows, nil
}

func (o *featureOptions) request() (*kmsg.UpdateFeaturesRequest, error) {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.ValidateOnly = o.dryRun
	add := func(kind int8, flag string, changes []string) error {
		for _, c := range changes {
			name, level, ok := strings.Cut(c, "=")
			n, err := strconv.ParseInt(level, 10, 16)
			if !ok || name == "" || err != nil || n < 0 {
				return usageErrorf("--%s %s: write it like group.version=1", flag, c)
			}
			u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = name, int16(n), kind, kind != featureUpgrade
			req.FeatureUpdates = append(req.FeatureUpdates, u)
		}
		return nil
	}
	down := int8(featureDowngrade)
	if o.unsafe {
		down = featureUnsafeDowngrade
	}
	if err := add(featureUpgrade, "upgrade", o.upgrades); err != nil {
		return nil, err
	}
	return req, add(down, "downgrade", o.downgrades)
}

// changeFeatures shows what changes, asks where something goes down, and changes the levels.
func (s *session) changeFeatures(ctx context.Context, o *featureOptions) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	cl, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	rows, err := describeFeatures(ctx, cl)
	if err != nil {
		return err
	}
	for _, u := range req.FeatureUpdates {
		i := slices.IndexFunc(rows, func(r featureRow) bool { return r.Name == u.Feature })
		if i < 0 {
			return withFix(fmt.Errorf("the cluster has no feature %q", u.Feature), "weir cluster features")
		}
		s.progressf("%s: from level %d to %d", u.Feature, rows[i].Level, u.MaxVersionLevel)
	}
	if len(o.downgrades) > 0 && !o.dryRun {
		if ok, err := s.confirm(o.yes, false); !ok {
			return err
		}
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("change features: %w", err)
	}
	if err := kerr.ErrorForCode(res.ErrorCode); err != nil {
		why := ""
		if res.ErrorMessage != nil {
			why = *res.ErrorMessage
		}
		return fmt.Errorf("change features: %w", brokerError(err, why))
	}
	for _, r := range res.Results { // of brokers that answer for each
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("change feature %s: %w", r.Feature, err)
		}
	}
	if o.dryRun {
		s.progressf("dry run: nothing was changed")
	}
	return nil
}

// completeFeatures completes NAME=LEVEL for the shell.
func (s *session) completeFeatures(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	cl, err := s.connect(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer cl.Close()
	rows, err := describeFeatures(ctx, cl)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Name+"=")
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
