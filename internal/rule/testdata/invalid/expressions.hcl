list "brands" {
  entries = ["Microsoft"]
}

rule "fields" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = app.naem == "x" && conTains(app.name, "x") && in_list("brnds", app.name) # ERROR 14-22: Unknown field: There is no field "app.naem". Did you mean "app.name"? # ERROR 33-41: Unknown function: There is no function "conTains". Did you mean "contains"? # ERROR 68-75: Unknown list: There is no list "brnds". Did you mean "brands"?
  score    = app.name # ERROR 14-22: Wrong type: score must be an int; this is a string.
}

rule "types" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where = (
    app.tier == "1" # ERROR 5-20: Wrong type: An int and a string cannot be compared this way.
    && app.created > "2026-01-01" # ERROR 8-34: Wrong type: A time and a string cannot be compared this way. Write a time as time("2026-01-31T00:00:00Z"), or compare age(x) with duration("90d").
    && age(app.created) > 90 # ERROR 8-29: Wrong type: A duration and an int cannot be compared this way. Write a duration as duration("90d").
    && permissions == "Mail.Read" # ERROR 8-34: Wrong type: A permission set and a string cannot be compared this way. Ask a set by any_of(set, ["x"]), all_of, none_of, length(set) or has_permission.
    && actor.type == ["user", "app"] # ERROR 8-37: Wrong type: A string and a list of strings cannot be compared this way. Ask for membership by any_of(x, ["a", "b"]).
    && app.name > "a" # ERROR 8-22: Wrong type: A string and a string cannot be compared this way. Strings have no order.
    && app.name # ERROR 8-16: Wrong type: An operand of && and || must be a bool; this is a string.
    && !app.tier # ERROR 9-17: Wrong type: What ! turns round must be a bool; this is an int.
    && (app.tier == 1 ? 1 : "x") == 1 # ERROR 9-32: Wrong type: Both results of ? : must have the same type; these are an int and a string.
    && app.name + "x" == "y" # ERROR 8-22: Wrong type: A string and a string cannot be calculated with this way.
  )
}

rule "functions" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where = (
    contains(app.name) # ERROR 5-23: Wrong number of arguments: Use it as contains(text, part...).
    && glob(app.name, actor.name) # ERROR 23-33: Not a constant string: glob takes constant strings or a list of them here.
    && matches(app.name, "(") # ERROR 26-29: Bad regular expression: "(" is not RE2 syntax: error parsing regexp: missing closing ): `(`.
    && cidr_match(source.ip, "10.0.0.0/33") # ERROR 8-44: Bad network: "10.0.0.0/33" is not a network such as "10.0.0.0/8" or "2001:db8::/32".
    && duration("5x") > duration("1h") # ERROR 8-22: Bad duration: "5x" is not a duration such as "90d", "12h" or "1d12h"; the units are w, d, h, m and s.
    && app.created > time("yesterday") # ERROR 22-39: Bad time: "yesterday" is neither a time such as "2026-01-31T00:00:00Z" nor a date such as "2026-01-31".
    && has_permission(consent.scopes, "application:Mail.Read") # ERROR 8-63: No kinds in a set of names: A "application:" pattern needs a permission set such as permissions or app.permissions.
    && has_permission(app.name, "Mail.Read") # ERROR 23-31: Wrong type: The first argument of has_permission must be a permission set or a string set; this is a string.
    && lookalike(app.name, app.name) # ERROR 28-36: Not a list's name: The name of a list is a constant string.
    && age(app.name) > duration("1d") # ERROR 12-20: Wrong type: The argument of age must be a time; this is a string.
  )
}

rule "shapes" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = [for x in permissions : x] == permissions[0] # ERROR 14-40: Not part of the rule language: Rules know operators, conditionals, templates, function calls and fields; for, splat, index and object expressions are left out. # ERROR 44-58: Not a field: A field is written as words with dots, such as app.name.
  score    = 1.5 # ERROR 14-17: Not an integer: Numbers are integers of 64 bits.
}
