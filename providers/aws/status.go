package aws

import (
	"fmt"

	"meridian/providers"
)

// meaning is what a status of RDS means for a region.
type meaning struct {
	state providers.ReadyState
	// why says what is going on, and for a failed one what to do.
	why string
}

func pending(why string) meaning { return meaning{providers.StatePending, why} }
func ready(why string) meaning   { return meaning{providers.StateReady, why} }
func failed(why string) meaning  { return meaning{providers.StateFailed, why} }

// instanceStatuses are the documented statuses of a DB instance.
// Source: Amazon RDS User Guide, "Viewing Amazon RDS DB instance status"; Amazon Aurora User Guide, the same page.
var instanceStatuses = map[string]meaning{
	"available":                       ready(""),
	"storage-optimization":            ready("its storage is being optimized"),
	"storage-initialization":          ready("its storage is still being loaded from the snapshot: it is slower until that ends"),
	"storage-config-upgrade":          ready("the configuration of its storage is being upgraded"),
	"backing-up":                      pending("a backup is taken"),
	"backtracking":                    pending("it is being backtracked"),
	"configuring-enhanced-monitoring": pending("enhanced monitoring is being switched"),
	"configuring-iam-database-auth":   pending("IAM authentication is being switched"),
	"configuring-log-exports":         pending("log exports are being switched"),
	"converting-to-vpc":               pending("it is moving into a VPC"),
	"creating":                        pending("it is being created"),
	"delete-precheck":                 pending("AWS looks whether it may be deleted"),
	"maintenance":                     pending("a maintenance update is being applied"),
	"modifying":                       pending("it is being modified"),
	"moving-to-vpc":                   pending("it is moving to another VPC"),
	"rebooting":                       pending("it is rebooting"),
	"renaming":                        pending("it is being renamed"),
	"resetting-master-credentials":    pending("its master password is being set"),
	"starting":                        pending("it is starting"),
	"stopping":                        pending("it is stopping"),
	"upgrading":                       pending("its engine is being upgraded"),
	"deleting":                        failed("somebody deletes it; apply again once it is gone"),
	"stopped":                         failed("it is stopped; start it, then apply again"),
	"failed":                          failed("it has failed and AWS could not recover it; restore it to its latest restorable time, or destroy the region and make it again"),
	"inaccessible-encryption-credentials": failed(
		"its KMS key cannot be used any more; restore the key, then restore the database from a backup"),
	"inaccessible-encryption-credentials-recoverable": failed(
		"its KMS key cannot be used; enable the key and its grants within seven days, start the database, then apply again"),
	"incompatible-create":       failed("AWS could not create it with this configuration; see its events, change the spec, then apply again"),
	"incompatible-credentials":  failed("its credentials do not fit; reset the master password, then apply again"),
	"incompatible-network":      failed("its VPC has no address, subnet or security group left for it; mend the network, then apply again"),
	"incompatible-option-group": failed("its option group does not fit; change the group, then apply again"),
	"incompatible-parameters":   failed("its parameters do not fit its class or version; change spec.engine.parameters, then apply again"),
	"incompatible-restore":      failed("a restore to that point is not possible; restore to another"),
	"insufficient-capacity":     failed("AWS has no capacity for its class there; choose another class, or apply again later"),
	"restore-error":             failed("its restore has failed; restore it again"),
	"storage-full":              failed("its storage is full; raise settings.storage, then apply again"),
	"unsupported-configuration": failed("AWS does not support its configuration; see its events"),
	"upgrade-failed":            failed("the upgrade of its engine has failed; see its events"),
}

// clusterStatuses are the documented statuses of an Aurora cluster.
// Source: Amazon Aurora User Guide, "Viewing DB cluster status".
var clusterStatuses = map[string]meaning{
	"available":                    ready(""),
	"storage-optimization":         ready("its storage is being optimized"),
	"backing-up":                   pending("a backup is taken"),
	"backtracking":                 pending("it is being backtracked"),
	"creating":                     pending("it is being created"),
	"failing-over":                 pending("it fails over to another instance"),
	"maintenance":                  pending("a maintenance update is being applied"),
	"migrating":                    pending("a snapshot is being restored to it"),
	"modifying":                    pending("it is being modified"),
	"preparing-data-migration":     pending("it is prepared for a migration of data"),
	"promoting":                    pending("it is being promoted to stand alone"),
	"rebooting":                    pending("it is rebooting"),
	"renaming":                     pending("it is being renamed"),
	"resetting-master-credentials": pending("its master password is being set"),
	"scaling-compute":              pending("its compute is being scaled"),
	"scaling-storage":              pending("its storage is being scaled"),
	"starting":                     pending("it is starting"),
	"stopping":                     pending("it is stopping"),
	"update-iam-db-auth":           pending("IAM authentication is being switched"),
	"upgrading":                    pending("its engine is being upgraded"),
	"deleting":                     failed("somebody deletes it; apply again once it is gone"),
	"stopped":                      failed("it is stopped; start it, then apply again"),
	"failed":                       failed("it has failed and AWS could not recover it; restore it to its latest restorable time"),
	"cloning-failed":               failed("the cloning has failed; destroy the region and make it again"),
	"migration-failed":             failed("the migration has failed; restore it again"),
	"restore-failed":               failed("its restore has failed; restore it again"),
	"incompatible-network":         failed("its VPC has no address, subnet or security group left for it; mend the network, then apply again"),
	"incompatible-parameters":      failed("its parameters do not fit its class or version; change spec.engine.parameters, then apply again"),
	"incompatible-restore":         failed("a restore to that point is not possible; restore to another"),
	"inaccessible-encryption-credentials": failed(
		"its KMS key cannot be used any more; restore the key, then restore the cluster from a backup"),
	"inaccessible-encryption-credentials-recoverable": failed(
		"its KMS key cannot be used; enable the key and its grants within seven days, start the cluster, then apply again"),
}

// means says what a status means; one that nobody knows is pending, and named.
func means(statuses map[string]meaning, status string) meaning {
	if m, ok := statuses[status]; ok {
		return m
	}
	return pending(fmt.Sprintf("AWS says %q, which this Meridian does not know: it waits for a status that it knows", status))
}
