rule "no_head" { # ERROR 1-15: Missing title: A rule needs title: what an analyst reads first. # ERROR 1-15: Missing severity: A rule needs severity: informational, low, medium, high, critical. # ERROR 1-15: Missing on: A rule needs on: the canonical actions that it looks at, such as ["app.consent.granted"].
}

rule "Bad Id" { # ERROR 6-14: Bad id: The id "Bad Id" is not made of lower-case words with dots, such as "entra.consent.tenant_wide".
  title      = "t"
  severity   = "hgih" # ERROR 16-22: Bad severity: "hgih" is none of informational, low, medium, high, critical. Did you mean "high"?
  mode       = "sometimes" # ERROR 16-27: Bad mode: "sometimes" is none of active, audit, score, off.
  techniques = ["T1098.1"] # ERROR 17-26: Bad technique: "T1098.1" is not an ATT&CK id such as "T1098.001".
  on         = ["app.consent.grantd", "app.added", "app.added"] # ERROR 17-37: Unknown action: There is no action "app.consent.grantd". Did you mean "app.consent.granted"? # ERROR 52-63: Action named twice: "app.added" already stands in this list.
  wher       = true # ERROR 3-7: Unknown attribute: A rule block has no attribute "wher". Did you mean "where"?
  threshold  = 5 # ERROR 3-12: Block expected: "threshold" is a block: write threshold { ... } without an equals sign.
}

rule "twice" {
  title    = 5 # ERROR 14-15: Wrong type: title must be a string.
  severity = "low"
  on       = ["app.added"]
}

policy "twice" { # ERROR 1-15: Missing where: A policy needs where: the condition on an app, such as app.idle > duration("90d"). # ERROR 8-15: Rule defined twice: "twice" already stands at testdata/invalid/heads.hcl:14,6-13.
  title    = "t"
  severity = "low"
}

list "l" {}
list "l" {} # ERROR 1-9: List defined twice: List "l" already stands at testdata/invalid/heads.hcl:25,1-9.
rul "x" {} # ERROR 1-8: Unknown block: A rules file has no block "rul". Did you mean "rule"?
rule { # ERROR 1-5: One name expected: Write rule "name" { ... }.
}
stray = true # ERROR 1-6: Attribute outside a block: A rules file holds rule, policy, list, exception, risk and test blocks.
