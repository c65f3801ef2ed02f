output "host" {
  description = "The address on which the server answers."
  value       = localdb_postgres.this.address
}

output "port" {
  description = "The port on which the server answers."
  value       = localdb_postgres.this.port
}

output "admin_user" {
  description = "The administrator's name."
  value       = localdb_postgres.this.admin_user
}

output "system_identifier" {
  description = "What PostgreSQL calls this cluster, and no other."
  value       = localdb_postgres.this.system_identifier
}

output "server_version" {
  description = "The exact version that runs."
  value       = localdb_postgres.this.version
}
