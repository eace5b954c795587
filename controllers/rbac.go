package controllers

// Permissions of the controller. Those of the cluster-wide part are also bound per namespace with --watch-namespaces;
// IngressClasses are cluster-scoped in any case, Namespaces are needed with --namespace-selector only. Leases are kept
// in the installation's own namespace; Events go to the namespace of the object that they are about.
//
// Secrets are listed and watched by their metadata and read one by one where something refers to them. Those that
// are written are the installation's own, in its namespace: the salt of what status shows of shared secrets, and the keys
// that are retained when their Secrets get another value.
//
// +kubebuilder:rbac:groups=ostiary.dev,resources=pipelines;serviceendpoints;consumers;jwtcredentials,verbs=get;list;watch
// +kubebuilder:rbac:groups=ostiary.dev,resources=pipelines/status;serviceendpoints/status;consumers/status;jwtcredentials/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=services;secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingressclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=referencegrants,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=ostiary-system,resources=leases,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",namespace=ostiary-system,resources=secrets,verbs=get;list;watch;create;update;delete
