// For those who gather mixins with jsonnet; `predis mixin` writes the same as plain files.
{
  prometheusRules+:: std.parseYaml(importstr 'rules.yaml'),
  prometheusAlerts+:: std.parseYaml(importstr 'alerts.yaml'),
  grafanaDashboards+:: { 'predis.json': import 'dashboard.json' },
}
