rule "entra.app.reply_url_unsafe" {
  title           = "Unsafe reply URL added to an app"
  description     = "Codes and tokens of this app now also go to a place without TLS, to this machine's port, or to a tunnel or hosting name that anybody can rent."
  false_positives = ["A developer's machine, for an app in development"]
  severity        = "medium"
  techniques      = ["T1528"]
  references      = ["https://learn.microsoft.com/entra/identity-platform/reply-url"]

  on = ["app.updated", "inventory.app.changed"]
  where = coalesce(result, "success") == "success" && (
    glob(added("AppAddress"), "*http://*", "*.ngrok*", "*.trycloudflare.com*", "*.workers.dev*", "*.pages.dev*", "*.web.app*")
    || glob(added("reply_urls"), "http://*", "*.ngrok*", "*.trycloudflare.com*", "*.workers.dev*", "*.pages.dev*", "*.web.app*")
  )
  score = coalesce(app.tier, 4) <= 2 ? 70 : 45

  suppress {
    by  = [coalesce(app.app_id, coalesce(app.object_id, app.id))]
    for = "24h"
  }
  alert {
    summary = "${app.name} got an unsafe reply URL"
  }
}
