rule "e.one" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
}
policy "e.two" {
  title    = "t"
  severity = "low"
  where    = app.tenant_wide
}

exception "empty" { # ERROR 1-18: Missing rules: An exception needs rules: the ids that it spares from, such as ["entra.consent.*"]. # ERROR 1-18: Missing reason: An exception needs reason: why this is no finding, for whoever reads it in a year. # ERROR 1-18: Missing owner: An exception needs owner: who answers for it. # ERROR 1-18: Missing where: An exception needs where: what is spared, such as app.app_id == "..."; true spares everything.
}

exception "names" {
  rules  = ["e.on", "x.*", "e.*"] # ERROR 13-19: Unknown rule: There is no rule or policy "e.on". Did you mean "e.one"? # ERROR 21-26: No such rule: No rule or policy matches "x.*".
  where  = app.nam == "x" # ERROR 12-19: Unknown field: There is no field "app.nam". Did you mean "app.name"?
  reason = 5 # ERROR 12-13: Wrong type: reason must be a string.
  owner  = "soc"
  until  = "soon" # ERROR 12-18: Bad time: "soon" is neither a time such as "2026-01-31T00:00:00Z" nor a date such as "2026-01-31".
  untill = "2027-01-01" # ERROR 3-9: Unknown attribute: An exception block has no attribute "untill". Did you mean "until"?
}

exception "names" { # ERROR 11-18: Exception defined twice: There is another exception "names".
  rules  = ["e.two"]
  where  = actor.id == "x" # ERROR 12-20: Field of an event in a policy: "actor.id" belongs to an event; a policy looks at the inventory, at no event. Use app.* fields.
  reason = "r"
  owner  = "soc"
}

exception "Bad Id" { # ERROR 11-19: Bad id: The id "Bad Id" is not made of lower-case words with dots, such as "partner.migration".
  rules  = ["e.one"]
  where  = actor.id == "x"
  reason = "r"
  owner  = "soc"
}
