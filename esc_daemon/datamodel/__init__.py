"""Where YANG meets the domain: schema, validation, intent, opdata, escEvent, datastore."""
