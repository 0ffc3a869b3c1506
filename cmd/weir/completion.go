package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// completionPatience bounds how long a shell waits for names from the cluster.
const completionPatience = time.Second

func newCompletionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script of a shell",
		Long: `Print a script that lets a shell complete commands, flags and, by asking the cluster, names of topics and groups.

  bash  source <(weir completion bash), in ~/.bashrc
  zsh   weir completion zsh > "${fpath[1]}/_weir"
  fish  weir completion fish > ~/.config/fish/completions/weir.fish`,
		Example:   "  source <(weir completion bash)",
		Args:      args(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(s.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(s.out)
			case "fish":
				return cmd.Root().GenFishCompletion(s.out, true)
			}
			return usageErrorf("there is no completion for %q: use bash, zsh or fish", args[0])
		},
	}
}

type completer = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective)

// completeFrom completes a flag from fixed values.
func completeFrom(cmd *cobra.Command, flag string, values ...string) {
	// The error means that the flag does not exist, which the test of all commands would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeTopics completes up to atMost arguments with names of topics; atMost < 0 means any number.
func (s *session) completeTopics(atMost int) completer {
	return s.complete(atMost, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		topics, err := adm.ListTopics(ctx)
		return topics.Names(), err
	})
}

// completeGroups completes up to atMost arguments with names of groups.
func (s *session) completeGroups(atMost int) completer {
	return s.complete(atMost, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		groups, err := adm.ListGroups(ctx)
		return groups.Groups(), err
	})
}

// completeBrokers completes an argument with the ids of brokers.
func (s *session) completeBrokers(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return s.complete(1, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		brokers, err := adm.ListBrokers(ctx)
		ids := make([]string, 0, len(brokers))
		for _, id := range brokers.NodeIDs() {
			ids = append(ids, strconv.Itoa(int(id)))
		}
		return ids, err
	})(cmd, args, prefix)
}

func (s *session) complete(atMost int, list func(context.Context, *kadm.Client) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if atMost >= 0 && len(args) >= atMost {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		adm, done, err := s.admin(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer done()
		names, err := list(ctx, adm)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
