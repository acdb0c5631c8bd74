"""One tenant, one business day: message objects in, clean tables and a receipt out."""
