output "host" {
  description = "The name under which the cluster answers: its writer, in a member of a global cluster that only reads its readers."
  value       = local.secondary ? aws_rds_cluster.this.reader_endpoint : aws_rds_cluster.this.endpoint
}

output "reader_host" {
  description = "The name under which the cluster's readers answer."
  value       = aws_rds_cluster.this.reader_endpoint
}

output "port" {
  description = "The port on which the cluster answers."
  value       = aws_rds_cluster.this.port
}

output "admin_user" {
  description = "The administrator's name."
  value       = var.admin_user
}

output "arn" {
  description = "The cluster's ARN."
  value       = aws_rds_cluster.this.arn
}

output "server_version" {
  description = "The exact version that runs."
  value       = aws_rds_cluster.this.engine_version_actual
}

# Nobody logs in before an instance is there to answer.
output "instances" {
  description = "The instances' names."
  value       = sort([for i in aws_rds_cluster_instance.this : i.identifier])
}
