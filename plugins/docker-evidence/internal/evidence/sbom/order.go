package sbom

import (
	"cmp"
	"slices"

	"github.com/spdx/tools-golang/spdx"
)

// order sorts what comes in the order in which concurrent cataloguers finished.
func order(doc *spdx.Document) {
	slices.SortStableFunc(doc.Packages, func(a, b *spdx.Package) int {
		return cmp.Compare(a.PackageSPDXIdentifier, b.PackageSPDXIdentifier)
	})
	for _, p := range doc.Packages {
		slices.SortStableFunc(p.PackageExternalReferences, func(a, b *spdx.PackageExternalReference) int {
			return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.RefType, b.RefType), cmp.Compare(a.Locator, b.Locator))
		})
	}
	slices.SortStableFunc(doc.Files, func(a, b *spdx.File) int {
		return cmp.Compare(a.FileSPDXIdentifier, b.FileSPDXIdentifier)
	})
	slices.SortStableFunc(doc.Relationships, func(a, b *spdx.Relationship) int {
		return cmp.Or(
			compareIDs(a.RefA, b.RefA),
			cmp.Compare(a.Relationship, b.Relationship),
			compareIDs(a.RefB, b.RefB),
			cmp.Compare(a.RelationshipComment, b.RelationshipComment))
	})
	slices.SortStableFunc(doc.OtherLicenses, func(a, b *spdx.OtherLicense) int {
		return cmp.Compare(a.LicenseIdentifier, b.LicenseIdentifier)
	})
}

func compareIDs(a, b spdx.DocElementID) int {
	return cmp.Or(
		cmp.Compare(a.DocumentRefID, b.DocumentRefID),
		cmp.Compare(a.ElementRefID, b.ElementRefID),
		cmp.Compare(a.SpecialID, b.SpecialID))
}
