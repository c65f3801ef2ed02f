package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"meridian/persistence/catalog"
	"meridian/providers"
	"meridian/providers/aws"
	"meridian/providers/aws/mototest"
	"meridian/stacks"
)

// What `make test-aws` gives to TestAccountOfAWS: the file of a spec whose two regions are used, and that somebody has read what it costs.
const (
	envAccountSpec  = "MERIDIAN_TEST_AWS_SPEC"
	envAccountCosts = "MERIDIAN_TEST_AWS_COSTS"
)

const accountCosts = `an account of AWS pays for this: two db.t4g.medium with 20 GiB each for one to two hours, what moves between the two regions, and
a snapshot until it is deleted: some dollars, if everything is removed. What is made carries the tag %s; should this be
killed before it ends, delete by that tag what is left in both regions`

// accountPatience is what AWS may take for one thing: a replica in another region, of nothing, is made within an hour.
const accountPatience = 2 * time.Hour

// TestAccountOfAWS tells the story of TestAWS/Replica on an account of AWS, and removes everything: `make test-aws`.
func TestAccountOfAWS(t *testing.T) {
	path := os.Getenv(envAccountSpec)
	if path == "" {
		t.Skip("SKIPPED: make test-aws SPEC=examples/aws/orders.yaml tells this story on an account of AWS, which costs money")
	}
	here, there, err := payingAccount(t.Context(), path, os.Getenv(envAccountCosts))
	if err != nil {
		t.Fatalf("nothing was made: %v", err)
	}
	w := newAccount(t)
	spec := w.spec(regionText(here, "here", "primary")+regionText(there, "there", "replica"), "{mode: physical}")
	w.tellReplica(spec, here.Location, there.Location)
}

// payingAccount reads the regions, and refuses to begin without a yes to what they cost, or without the account's credentials.
func payingAccount(ctx context.Context, path, costs string, options ...func(*config.LoadOptions) error) (here, there stacks.Region, err error) {
	here, there, err = regionsOf(path)
	if err == nil && costs != "accepted" {
		err = fmt.Errorf(accountCosts+": say COSTS=accepted", aws.TagOwner)
	}
	if err == nil {
		err = signedIn(ctx, here, options...)
	}
	return here, there, err
}

// TestAccountIsRefused tells what has to be there before anything is made that costs.
func TestAccountIsRefused(t *testing.T) {
	t.Parallel()
	const example = "../../examples/aws/orders.yaml"
	cloud := mototest.Start(t, frankfurt)
	other := filepath.Join(t.TempDir(), "other.yaml")
	text, err := os.ReadFile(example)
	if err == nil {
		err = os.WriteFile(other, []byte(strings.ReplaceAll(string(text), mototest.Account, "999999999999")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, costs, want string }{
		"no file":           {"nowhere.yaml", "accepted", "copy examples/aws/orders.yaml"},
		"no AWS":            {"../../examples/orders.yaml", "accepted", "want one spec with two regions of provider aws"},
		"no yes":            {example, "", "say COSTS=accepted"},
		"another's account": {other, "accepted", "the credentials are those of account " + mototest.Account + ", the spec says 999999999999"},
		"nothing":           {example, "accepted", ""},
	} {
		here, there, err := payingAccount(t.Context(), c.path, c.costs, cloud.SDK()...)
		if c.want == "" && (err != nil || here.Location != frankfurt || there.Location != virginia) {
			t.Errorf("%s: %+v, %+v, %v", name, here, there, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// regionsOf reads a spec's two regions of provider aws.
func regionsOf(path string) (here, there stacks.Region, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return here, there, fmt.Errorf("%w: copy examples/aws/orders.yaml and write your account and networks into it", err)
	}
	loaded, ds := stacks.Load([]stacks.Source{{Name: path, Text: text}}, "")
	if stacks.HasErrors(ds) {
		return here, there, fmt.Errorf("%s:%d:%d: %s", ds[0].File, ds[0].Line, ds[0].Column, ds[0].Summary)
	}
	if len(loaded) == 1 {
		if rs := loaded[0].Spec.Spec.Regions; len(rs) == 2 && rs[0].Provider == aws.Name && rs[1].Provider == aws.Name {
			return rs[0], rs[1], nil
		}
	}
	return here, there, fmt.Errorf("%s: want one spec with two regions of provider aws, the first for the primary", path)
}

// regionText is a region of a spec with another one's location and settings.
func regionText(of stacks.Region, name, role string) string {
	settings, _ := json.Marshal(of.Settings) // JSON is YAML
	return fmt.Sprintf("    - {name: %s, provider: aws, location: %s, role: %s, settings: %s}\n", name, of.Location, role, settings)
}

// signedIn wants credentials that AWS takes, for the account that the spec names.
func signedIn(ctx context.Context, region stacks.Region, options ...func(*config.LoadOptions) error) error {
	cfg, err := config.LoadDefaultConfig(ctx, append(slices.Clone(options), config.WithRegion(region.Location))...)
	if err != nil {
		return err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("AWS takes no credentials from here (set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY): %w", err)
	}
	if want := fmt.Sprint(region.Settings["account"]); sdk.ToString(who.Account) != want {
		return fmt.Errorf("the credentials are those of account %s, the spec says %s: change one of them", sdk.ToString(who.Account), want)
	}
	return nil
}

// newAccount makes a site that works on the AWS of the environment, and removes what it made there when the test ends.
func newAccount(t *testing.T) *awsWorld {
	t.Helper()
	s := newSite(t)
	s.patience = accountPatience
	w := &awsWorld{site: s}
	s.more = func(m *meridian, installation string) []providers.Provider {
		w.m, w.cloud = m, aws.New(aws.Config{Installation: installation})
		return []providers.Provider{w.cloud}
	}
	s.start()
	t.Cleanup(func() {
		if err := w.sweep(context.Background()); err != nil {
			t.Errorf("AWS may have some of it still (look for the tag %s): %v", aws.TagOwner, err)
		}
	})
	return w
}

// sweep ends every run, then removes from AWS all that carries this installation's mark, and the snapshots of its databases.
func (w *awsWorld) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, accountPatience)
	defer cancel()
	places, err := w.places(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		left, err := w.remove(ctx, places)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d objects are left: %w", left, cmp.Or(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// remove asks for the removal of all that is there, and says how much that was.
func (w *awsWorld) remove(ctx context.Context, places []providers.ModuleInput) (left int, err error) {
	open, err := w.m.catalog.AllRunsOpen(ctx)
	if err != nil {
		return 0, err
	}
	for _, run := range open {
		left++
		_, _ = w.m.Cancel(ctx, run.ID, "test") // it may end meanwhile
	}
	if left > 0 {
		return left, nil
	}
	objects, err := w.cloud.Inventory(ctx, places)
	if err != nil {
		return 0, err
	}
	for _, o := range objects { // what another one still holds goes at a later turn
		left++
		if failed := w.cloud.RemoveObject(ctx, o, places); failed != nil {
			err = failed
		}
	}
	for _, place := range places {
		snapshots, failed := w.snapshots(ctx, place)
		left += snapshots
		err = cmp.Or(failed, err)
	}
	return left, err
}

// snapshots deletes those of a place's database.
func (w *awsWorld) snapshots(ctx context.Context, place providers.ModuleInput) (left int, err error) {
	cloud := w.rds(place.Region.Location)
	for pages := rds.NewDescribeDBSnapshotsPaginator(cloud, &rds.DescribeDBSnapshotsInput{SnapshotType: sdk.String("manual")}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return left, err
		}
		for _, s := range page.DBSnapshots {
			if !strings.HasPrefix(sdk.ToString(s.DBSnapshotIdentifier), strings.Join([]string{place.Stack.Namespace, place.Stack.Name, place.Stack.Incarnation, ""}, "-")) {
				continue
			}
			left++
			if _, err := cloud.DeleteDBSnapshot(ctx, &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: s.DBSnapshotIdentifier}); err != nil {
				return left, err
			}
		}
	}
	return left, nil
}

// places are the regions of every database that this Meridian has had.
func (w *awsWorld) places(ctx context.Context) (out []providers.ModuleInput, err error) {
	runs, err := w.m.catalog.Runs(ctx, catalog.RunFilter{})
	if err != nil {
		return nil, err
	}
	for i, run := range runs {
		if slices.ContainsFunc(runs[:i], func(r catalog.Run) bool { return r.Incarnation == run.Incarnation }) {
			continue
		}
		rev, err := w.m.catalog.Revision(ctx, run.Incarnation, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range rev.Effective.Spec.Regions {
			out = append(out, providers.ModuleInput{
				Stack:    stacks.StackID{Namespace: rev.Effective.Metadata.Namespace, Name: rev.Effective.Metadata.Name, Incarnation: run.Incarnation, Region: r.Name},
				Database: rev.Effective, Region: r,
			})
		}
	}
	return out, nil
}
