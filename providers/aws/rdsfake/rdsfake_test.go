package rdsfake_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"

	"meridian/providers/aws/rdsfake"
)

// TestRefusals asks, in the SDK's own words, for what AWS documents as refused.
func TestRefusals(t *testing.T) {
	fake := rdsfake.New()
	t.Cleanup(fake.Close)
	client := rds.New(rds.Options{Region: "eu-central-1", BaseEndpoint: aws.String(fake.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})
	for _, i := range []rdsfake.Instance{
		{ID: "plain", Status: "available", Backups: 7}, {ID: "managed", Status: "available", Backups: 7, Managed: true}, {ID: "bare", Status: "available"},
		{ID: "new", Status: "creating", Backups: 7}, {ID: "kept", Status: "available", DeletionProtection: true}, {ID: "again", Status: "available"},
	} {
		i.Region = "eu-central-1"
		fake.Put(i)
	}
	fake.PutCluster("eu-central-1", "aurora-managed", "available", true)
	fake.PutCluster("eu-central-1", "aurora", "available", false)
	create := func(change func(*rds.CreateDBInstanceInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &rds.CreateDBInstanceInput{DBInstanceIdentifier: aws.String("made"), DBInstanceClass: aws.String("db.t4g.medium"), Engine: aws.String("postgres")}
			change(in)
			_, err := client.CreateDBInstance(ctx, in)
			return err
		}
	}
	replica := func(source string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.CreateDBInstanceReadReplica(ctx, &rds.CreateDBInstanceReadReplicaInput{
				DBInstanceIdentifier: aws.String("replica-of-" + source), SourceDBInstanceIdentifier: aws.String(rdsfake.Instance{ID: source, Region: "eu-central-1"}.ARN()),
			})
			return err
		}
	}
	global := func(source string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.CreateGlobalCluster(ctx, &rds.CreateGlobalClusterInput{
				GlobalClusterIdentifier: aws.String("g"), SourceDBClusterIdentifier: aws.String("arn:aws:rds:eu-central-1:" + rdsfake.Account + ":cluster:" + source),
			})
			return err
		}
	}
	remove := func(id string, change func(*rds.DeleteDBInstanceInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String(id)}
			change(in)
			_, err := client.DeleteDBInstance(ctx, in)
			return err
		}
	}
	skip := func(in *rds.DeleteDBInstanceInput) { in.SkipFinalSnapshot = aws.Bool(true) }
	snapshot := func(in *rds.DeleteDBInstanceInput) { in.FinalDBSnapshotIdentifier = aws.String("final") }
	for _, c := range []struct {
		name string
		call func(context.Context) error
		code string
	}{
		{"a create", create(func(*rds.CreateDBInstanceInput) {}), ""},
		{"the same name again", create(func(*rds.CreateDBInstanceInput) {}), "DBInstanceAlreadyExists"},
		{"two hyphens in a name", create(func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = aws.String("a--b") }), "InvalidParameterValue"},
		{"a hyphen at a name's end", create(func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = aws.String("a-") }), "InvalidParameterValue"},
		{"a password and a managed one", create(func(in *rds.CreateDBInstanceInput) {
			in.DBInstanceIdentifier, in.ManageMasterUserPassword, in.MasterUserPassword = aws.String("both"), aws.Bool(true), aws.String("x")
		}), "InvalidParameterCombination"},
		{"a replica", replica("plain"), ""},
		{"a replica of a managed password", replica("managed"), "InvalidParameterCombination"},
		{"a replica without backups", replica("bare"), "InvalidDBInstanceState"},
		{"a replica of what is being made", replica("new"), "InvalidDBInstanceState"},
		{"a replica of nothing", replica("nothing"), "DBInstanceNotFound"},
		{"a global database", global("aurora"), ""},
		{"a global database with a managed password", global("aurora-managed"), "InvalidParameterCombination"},
		{"a protected one", remove("kept", skip), "InvalidParameterCombination"},
		{"without a word on the snapshot", remove("again", func(*rds.DeleteDBInstanceInput) {}), "InvalidParameterCombination"},
		{"with a snapshot", remove("again", snapshot), ""},
		{"twice", remove("again", snapshot), "InvalidDBInstanceState"},
		{"with a snapshot whose name is taken", remove("plain", snapshot), "DBSnapshotAlreadyExists"},
		{"what is not there", remove("nothing", skip), "DBInstanceNotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.call(t.Context())
			var api smithy.APIError
			switch {
			case c.code == "" && err != nil:
				t.Error(err)
			case c.code != "" && (!errors.As(err, &api) || api.ErrorCode() != c.code && api.ErrorCode() != c.code+"Fault"):
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}
