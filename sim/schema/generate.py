#!/usr/bin/env python3
"""Writes builtin.txt, the types of the built-in kinds, from the OpenAPI files and Go types of one Kubernetes release.

    go mod download k8s.io/kubernetes@v1.37.2 k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 \
        k8s.io/apiextensions-apiserver@v0.37.2 k8s.io/kube-aggregator@v0.37.2
    python3 generate.py "$(go env GOMODCACHE)/k8s.io" > builtin.txt

The OpenAPI files say the shape of each type, its list keys and its defaults. They do not say which fields
the server leaves out when they are zero (`omitempty` on a value that is not a pointer): the Go types do.
"""
import glob, json, re, sys

RELEASE, LIBRARY = "v1.37.2", "v0.37.2"
ROOTS = """
core/v1: Namespace Pod Service ConfigMap Secret ServiceAccount PersistentVolumeClaim PersistentVolume Node Event
  Endpoints LimitRange ResourceQuota ReplicationController PodTemplate
apps/v1: Deployment StatefulSet DaemonSet ReplicaSet ControllerRevision
batch/v1: Job CronJob
networking/v1: Ingress IngressClass NetworkPolicy
rbac/v1: Role RoleBinding ClusterRole ClusterRoleBinding
policy/v1: PodDisruptionBudget
autoscaling/v2: HorizontalPodAutoscaler
autoscaling/v1: Scale
storage/v1: StorageClass CSIDriver CSINode VolumeAttachment
apiextensions/v1: CustomResourceDefinition
admissionregistration/v1: ValidatingWebhookConfiguration MutatingWebhookConfiguration ValidatingAdmissionPolicy
  ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
apiregistration/v1: APIService
coordination/v1: Lease
discovery/v1: EndpointSlice
scheduling/v1: PriorityClass
node/v1: RuntimeClass
certificates/v1: CertificateSigningRequest
"""
PACKAGES = {
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
UNTYPED = {"meta.v1.FieldsV1", "runtime.RawExtension", "apiextensions.v1.JSON", "apiextensions.v1.JSONSchemaPropsOrArray",
           "apiextensions.v1.JSONSchemaPropsOrBool", "apiextensions.v1.JSONSchemaPropsOrStringArray"}


def short(name):
    if name.startswith("io.k8s.apimachinery.pkg.apis.meta."):
        return "meta." + name[len("io.k8s.apimachinery.pkg.apis.meta."):]
    if name.startswith("io.k8s.apimachinery.pkg."):
        return name[len("io.k8s.apimachinery.pkg."):]
    for package, path in PACKAGES.items():
        if name.startswith(path):
            return package + name[len(path):]
    return name.replace("io.k8s.api.", "")


def go_types(base):
    """type name -> {json name: (omitempty, is a pointer, Go type)}, inline structs flattened"""
    places = {f"{base}/apimachinery@{LIBRARY}/pkg/apis/meta/v1/types.go": "meta.v1",
              f"{base}/apiextensions-apiserver@{LIBRARY}/pkg/apis/apiextensions/v1/types.go": "apiextensions.v1",
              f"{base}/apiextensions-apiserver@{LIBRARY}/pkg/apis/apiextensions/v1/types_jsonschema.go": "apiextensions.v1",
              f"{base}/kube-aggregator@{LIBRARY}/pkg/apis/apiregistration/v1/types.go": "apiregistration.v1"}
    for path in glob.glob(f"{base}/api@{LIBRARY}/*/v*/types.go"):
        group, version = path.split("/")[-3:-1]
        places[path] = f"{group}.{version}"
    raw, inline = {}, {}
    for path, package in places.items():
        current = None
        for line in open(path):
            start = re.match(r"type (\w+) struct \{", line)
            if start:
                current = f"{package}.{start.group(1)}"
                raw[current], inline[current] = {}, []
            elif line.startswith("}"):
                current = None
            elif current:
                field = re.match(r'\s+(?:(\w+)\s+)?(\S+)\s+`[^`]*json:"([^"]*)"', line)
                if not field:
                    continue
                _, go, tag = field.groups()
                name, *options = tag.split(",")
                if "inline" in options:
                    inline[current].append(go if "." not in go else go.replace("metav1", "meta.v1").replace("v1.", "core.v1.", 1))
                else:
                    raw[current][name] = ("omitempty" in options or "omitzero" in options, go.startswith("*"),
                                          re.search(r"^(\w+\.)?(Micro)?Time$", go) is not None and "omitzero" not in options)
    for name, parts in inline.items():
        package = name.rsplit(".", 1)[0]
        for part in parts:
            raw[name].update(raw.get(part if "." in part else f"{package}.{part}", {}))
    return raw


def main():
    base = sys.argv[1]
    spec = f"{base}/kubernetes@{RELEASE}/api/openapi-spec"
    types = {short(k): v for k, v in json.load(open(f"{spec}/swagger.json"))["definitions"].items()}
    defaults = {}
    for path in glob.glob(f"{spec}/v3/*_openapi.json"):
        for name, schema in json.load(open(path)).get("components", {}).get("schemas", {}).items():
            for field, value in schema.get("properties", {}).items():
                if "default" in value:
                    defaults[short(name), field] = value["default"]
    go = go_types(base)
    queue, seen, out = [], set(), {}
    group = None
    for word in ROOTS.split():
        if word.endswith(":"):
            group = word[:-1].replace("/", ".")
        else:
            queue.append(f"{group}.{word}")
    used = lambda name: queue.append(name) or "@" + name

    def shape(schema):
        if "$ref" in schema:
            name = short(schema["$ref"].split("/")[-1])
            target = types[name]
            atomic = "!" if schema.get("x-kubernetes-map-type") == "atomic" else ""
            if name.endswith("resource.Quantity"):
                return "q"
            if target.get("format") == "int-or-string":
                return "i"
            if name in UNTYPED:
                return "u"
            if target.get("type") != "object":
                return shape(target) if "type" in target else "u"
            return atomic + used(name)
        kind = schema.get("type")
        if kind == "array":
            how = schema.get("x-kubernetes-list-type")
            keys = schema.get("x-kubernetes-list-map-keys", [])
            if how is None and schema.get("x-kubernetes-patch-strategy", "").startswith("merge"):
                keys = [schema["x-kubernetes-patch-merge-key"]] if "x-kubernetes-patch-merge-key" in schema else []
                how = "map" if keys else "set"
            prefix = {"set": "$", "map": "(" + ",".join(keys) + ")"}.get(how, "*")
            return prefix + shape(schema["items"])
        if kind == "object":
            if "additionalProperties" in schema:
                return ("!" if schema.get("x-kubernetes-map-type") == "atomic" else "") + "%" + shape(schema["additionalProperties"])
            return "u"
        if kind in ("integer", "number"):
            return "n"
        if kind == "string" and schema.get("format") == "int-or-string":
            return "i"
        return {"boolean": "b", "string": "s"}.get(kind, "u")

    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        schema = types[name]
        lines = ["T" + ("!" if schema.get("x-kubernetes-map-type") == "atomic" else "") + " " + name]
        keys = set()
        for field, value in sorted(schema.get("properties", {}).items()):
            default = defaults.get((name, field))
            omitempty, pointer, time = go.get(name, {}).get(field, (True, True, False))
            text = shape(value)
            flags = ""
            if default == {} and "@" in text and not text.startswith(("*", "$", "(", "%")):
                flags = "+"
            elif time:
                flags = "~"
            elif omitempty and not pointer and (text[0] in "snb*$(%" or text.startswith("!%")):
                flags = "?"
            elif not omitempty and not ("metadata" in schema["properties"] and field in ("apiVersion", "kind")):
                flags = "-"
            if default not in (None, {}, "", 0, False):
                flags += "=" + str(default)
            lines.append(f" {field}{flags} {text}")
        out[name] = lines
    print(f"# Types of the built-in kinds of Kubernetes {RELEASE}; written by generate.py from its OpenAPI files and Go types")
    print("# (Copyright The Kubernetes Authors, Apache License 2.0). How to read it: src/schema/parse.rs.")
    for name in sorted(out):
        print("\n".join(out[name]))


main()
