"""What people look at: the dashboard, and the usage page of an organization. Rendered here, from the same services as
the API; scripts add comfort, and no page needs them."""
