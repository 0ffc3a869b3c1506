package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/term"

	"github.com/weir-stream/weir/internal/cli/table"
)

// passwordVariable holds the password of a user who is made or changed, for scripts.
const passwordVariable = "WEIR_USER_PASSWORD"

const passwordHelp = `The password is read from --password-file, from ` + passwordVariable + `, from a person at the terminal, or else from the first line of
standard input; never from the command line, which everybody on the machine can read. The broker gets it salted.`

func newUserCommand(s *session) *cobra.Command {
	return newNoun("user", "The users who log in with a password",
		`Make and change users who log in by SCRAM or PLAIN. A cluster without any user gets its first ones from the file that the
setting bootstrap.users.file names.`,
		`  weir user create alice
  weir user list
  weir user password alice --password-file new.txt
  weir user delete alice`,
		newUserCreateCommand(s), newUserListCommand(s), newUserPasswordCommand(s), newUserDeleteCommand(s))
}

// credentialFlags are those of commands that set a password.
type credentialFlags struct {
	file       string
	iterations int32
	mechanisms []string
}

func (f *credentialFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "password-file", "", "`file` whose first line is the password")
	cmd.Flags().Int32Var(&f.iterations, "iterations", 8192, "how often the password is hashed, 4096 to 16384")
	cmd.Flags().StringSliceVar(&f.mechanisms, "mechanism", []string{kadm.ScramSha256.String(), kadm.ScramSha512.String()}, "SCRAM mechanisms to set the password for")
}

func newUserCreateCommand(s *session) *cobra.Command {
	var f credentialFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a user with a password",
		Long:    "Make a user, who must not exist yet.\n\n" + passwordHelp,
		Example: "  weir user create alice\n  weir user create alice --password-file alice.txt",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setPassword(cmd.Context(), s, f, args[0], false)
		},
	}
	f.bind(cmd)
	return cmd
}

func newUserPasswordCommand(s *session) *cobra.Command {
	var f credentialFlags
	cmd := &cobra.Command{
		Use: "password NAME", Short: "Give a user another password",
		Long:              "Give a user who exists another password. Who is logged in stays so until the session ends.\n\n" + passwordHelp,
		Example:           "  weir user password alice",
		Args:              args(1, 1),
		ValidArgsFunction: s.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return setPassword(cmd.Context(), s, f, args[0], true)
		},
	}
	f.bind(cmd)
	return cmd
}

// setPassword sets the credentials of a user who must exist, or must not.
func setPassword(ctx context.Context, s *session, f credentialFlags, name string, exists bool) error {
	var upserts []kadm.UpsertSCRAM
	for _, m := range f.mechanisms {
		i := slices.IndexFunc([]kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512}, func(x kadm.ScramMechanism) bool { return strings.EqualFold(x.String(), m) })
		if i < 0 {
			return usageErrorf("--mechanism %s: use SCRAM-SHA-256 or SCRAM-SHA-512", m)
		}
		upserts = append(upserts, kadm.UpsertSCRAM{User: name, Mechanism: kadm.ScramSha256 + kadm.ScramMechanism(i), Iterations: f.iterations})
	}
	if len(upserts) == 0 {
		return usageErrorf("--mechanism is empty")
	}
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	users, err := describeUsers(ctx, adm)
	if err != nil {
		return err
	}
	if _, ok := users[name]; ok != exists {
		if exists {
			return withFix(fmt.Errorf("there is no user %q", name), "weir user create %s", name)
		}
		return withFix(fmt.Errorf("user %q exists already", name), "weir user password %s", name)
	}
	password, err := s.password(f.file)
	if err != nil {
		return err
	}
	for _, u := range upserts { // Kafka takes one change of a user in a request
		u.Password = password
		if err := alterUser(ctx, adm, nil, []kadm.UpsertSCRAM{u}); err != nil {
			return err
		}
	}
	s.progressf("password of %s is set", name)
	return nil
}

func alterUser(ctx context.Context, adm *kadm.Client, del []kadm.DeleteSCRAM, upsert []kadm.UpsertSCRAM) error {
	answers, err := adm.AlterUserSCRAMs(ctx, del, upsert)
	if err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	for _, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("change user %q: %w", a.User, brokerError(a.Err, a.ErrMessage))
		}
	}
	return nil
}

func describeUsers(ctx context.Context, adm *kadm.Client) (kadm.DescribedUserSCRAMs, error) {
	users, err := adm.DescribeUserSCRAMs(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for users: %w", err)
	}
	return users, nil
}

// maxPasswordBytes bounds what is read as a password.
const maxPasswordBytes = 4096

// password reads a new password. It is the first line of what it is read from.
func (s *session) password(file string) (string, error) {
	var in io.Reader
	switch variable := s.env(passwordVariable); {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", usageErrorf("--password-file: %v", err)
		}
		defer f.Close() //nolint:errcheck // only read from
		in = f
	case variable != "":
		return variable, nil
	case s.inTerminal && s.errTerminal:
		return s.askPassword()
	default:
		in = s.in
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordBytes)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usageErrorf("the password is empty: give it in --password-file, in %s, or on standard input", passwordVariable)
	}
	return line, nil
}

// askPassword asks a person twice, without showing what is typed.
func (s *session) askPassword() (string, error) {
	in, ok := s.in.(*os.File)
	if !ok {
		return "", usageErrorf("no terminal to read a password from")
	}
	var first string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(s.errOut, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(s.errOut)
		switch {
		case err != nil:
			return "", fmt.Errorf("read the password: %w", err)
		case len(b) == 0:
			return "", usageErrorf("the password is empty")
		case i == 1 && string(b) != first:
			return "", usageErrorf("the passwords differ")
		}
		first = string(b)
	}
	return first, nil
}

// userRow is a user as a program reads it.
type userRow struct {
	Name       string   `json:"name"`
	Mechanisms []string `json:"mechanisms"`
	Iterations int32    `json:"iterations"`
}

func newUserListCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List users",
		Long:    "List the users who have a password, with the mechanisms it works for. Users of the broker's settings are not among them.",
		Example: "  weir user list",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			users, err := describeUsers(cmd.Context(), adm)
			if err != nil {
				return err
			}
			rows := []userRow{}
			t := &table.Table{Columns: []table.Column{{Title: "NAME"}, {Title: "MECHANISMS"}, {Title: "ITERATIONS", Right: true}}}
			for _, u := range users.Sorted() {
				r := userRow{Name: u.User, Mechanisms: []string{}}
				for _, c := range u.CredInfos {
					r.Mechanisms = append(r.Mechanisms, c.Mechanism.String())
					r.Iterations = max(r.Iterations, c.Iterations)
				}
				rows = append(rows, r)
				t.Add(r.Name, strings.Join(r.Mechanisms, ", "), strconv.Itoa(int(r.Iterations)))
			}
			return s.print(rows, t)
		},
	}
	s.addOutput(cmd)
	return cmd
}

func newUserDeleteCommand(s *session) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete users",
		Long: `Delete the passwords of users, so that they cannot log in any more. Who is logged in stays so until the session ends. A person
is asked, a script must pass --yes.`,
		Example:           "  weir user delete alice --yes",
		Args:              args(1, -1),
		ValidArgsFunction: s.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return deleteUsers(cmd.Context(), s, slices.Compact(slices.Sorted(slices.Values(args))), yes, dryRun)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "delete without asking")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	return cmd
}

func deleteUsers(ctx context.Context, s *session, names []string, yes, dryRun bool) error {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	users, err := describeUsers(ctx, adm)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := users[name]; !ok {
			return withFix(fmt.Errorf("there is no user %q", name), "weir user list")
		}
	}
	if !yes {
		s.progressf("to be deleted: %s", strings.Join(names, ", "))
	}
	if ok, err := s.confirm(yes, dryRun); !ok {
		return err
	}
	for _, name := range names {
		for _, c := range users[name].CredInfos {
			if err := alterUser(ctx, adm, []kadm.DeleteSCRAM{{User: name, Mechanism: c.Mechanism}}, nil); err != nil {
				return err
			}
		}
		s.progressf("deleted %s", name)
	}
	return nil
}

// completeUsers completes names of users for the shell.
func (s *session) completeUsers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	adm, done, err := s.admin(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer done()
	users, err := describeUsers(cmd.Context(), adm)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, u := range users.Sorted() {
		names = append(names, u.User)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
