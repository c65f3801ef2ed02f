package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"meridian/orchestrator"
	"meridian/stacks"
)

func newTf(a *app) *cobra.Command {
	var yes bool
	var approve string
	c := &cobra.Command{
		Use:   "tf NAME REGION -- state list|show|mv|rm ... | import ADDRESS ID",
		Short: "Run a verb of terraform on a region's state",
		Long: `Run a verb of terraform on the newest state of a region: state list, show, mv, rm, or import. It works on a copy. One that writes shows
what would differ, and makes it the newest state where exactly that is approved: by a yes on a terminal, by --approve DIGEST, or by --yes
where nothing that holds data would be forgotten. It is audited, and refused while a run works on the database. Nothing in the world changes.`,
		Example: "  meridian tf orders ankara -- state list\n  meridian tf orders ankara -- state rm module.database.localdb_postgres.this",
		Args: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() != 2 || len(args) < 3 {
				return usage("%s wants the name of a database, a region, and behind -- a verb of terraform's", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.dial()
			if err != nil {
				return err
			}
			in := orchestrator.TerraformRequest{Namespace: a.ns(), Name: args[0], Region: args[1], Args: args[2:], Approve: approve, Actor: a.actor()}
			v, err := client.Terraform(c.Context(), in)
			if err != nil {
				return err
			}
			if v.Digest != "" && v.NewVersion == "" {
				fmt.Fprintln(a.stderr, stateDiffText(orchestrator.StateDiffView{From: v.Version, To: "what it would leave", Changes: v.Changes}, a.style))
				dangerous := slices.ContainsFunc(v.Changes, stacks.Change.Dangerous)
				switch {
				case yes && !dangerous:
				case a.interactive():
					if err := a.sure(c.Context(), false, "Make that the newest state?"); err != nil {
						return err
					}
				default:
					return &exitError{
						Code: exitNeedsApproval, What: "that needs an approval of exactly it",
						Next: a.call(fmt.Sprintf("tf %s %s --approve %s -- %s", args[0], args[1], v.Digest, strings.Join(args[2:], " "))),
					}
				}
				in.Approve = v.Digest
				if v, err = client.Terraform(c.Context(), in); err != nil {
					return err
				}
			}
			return a.print(v, func(t *table) {
				t.line("%s", strings.TrimRight(v.Output, "\n"))
				if v.NewVersion != "" {
					t.line("%s became %s", v.Version, v.NewVersion)
				}
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "approve what forgets nothing that holds data")
	c.Flags().StringVar(&approve, "approve", "", "approve exactly what was shown, by its digest")
	return c
}
