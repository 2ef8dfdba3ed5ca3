package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every type here.
var GroupVersion = schema.GroupVersion{Group: "pitcrew.dev", Version: "v1alpha1"}

// AddToScheme registers the types.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &WarmSet{}, &WarmSetList{}, &NodeCache{}, &NodeCacheList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
