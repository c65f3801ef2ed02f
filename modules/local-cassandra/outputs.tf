output "host" {
  description = "The address on which the node answers."
  value       = localdb_cassandra.this.address
}

output "port" {
  description = "The port on which the node answers."
  value       = localdb_cassandra.this.port
}

output "admin_user" {
  description = "The administrator's name."
  value       = localdb_cassandra.this.admin_user
}

output "datacenter" {
  description = "The node's data centre."
  value       = localdb_cassandra.this.datacenter
}

output "server_version" {
  description = "The exact version that runs."
  value       = localdb_cassandra.this.version
}
