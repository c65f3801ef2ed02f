output "host" {
  description = "The name under which the instance answers."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "The port on which the instance answers."
  value       = aws_db_instance.this.port
}

output "admin_user" {
  description = "The administrator's name."
  value       = aws_db_instance.this.username
}

output "arn" {
  description = "The instance's ARN."
  value       = aws_db_instance.this.arn
}

output "server_version" {
  description = "The exact version that runs."
  value       = aws_db_instance.this.engine_version_actual
}
