package jsonschema

import "github.com/weir-stream/weir/internal/schema"

// Types of difference. The names are upstream's but for the last, which only a hostile schema meets.
const (
	idChanged                                = "ID_CHANGED"
	descriptionChanged                       = "DESCRIPTION_CHANGED"
	titleChanged                             = "TITLE_CHANGED"
	defaultChanged                           = "DEFAULT_CHANGED"
	schemaAdded                              = "SCHEMA_ADDED"
	schemaRemoved                            = "SCHEMA_REMOVED"
	typeExtended                             = "TYPE_EXTENDED"
	typeNarrowed                             = "TYPE_NARROWED"
	typeChanged                              = "TYPE_CHANGED"
	maxLengthAdded                           = "MAX_LENGTH_ADDED"
	maxLengthRemoved                         = "MAX_LENGTH_REMOVED"
	maxLengthIncreased                       = "MAX_LENGTH_INCREASED"
	maxLengthDecreased                       = "MAX_LENGTH_DECREASED"
	minLengthAdded                           = "MIN_LENGTH_ADDED"
	minLengthRemoved                         = "MIN_LENGTH_REMOVED"
	minLengthIncreased                       = "MIN_LENGTH_INCREASED"
	minLengthDecreased                       = "MIN_LENGTH_DECREASED"
	patternAdded                             = "PATTERN_ADDED"
	patternRemoved                           = "PATTERN_REMOVED"
	patternChanged                           = "PATTERN_CHANGED"
	maximumAdded                             = "MAXIMUM_ADDED"
	maximumRemoved                           = "MAXIMUM_REMOVED"
	maximumIncreased                         = "MAXIMUM_INCREASED"
	maximumDecreased                         = "MAXIMUM_DECREASED"
	minimumAdded                             = "MINIMUM_ADDED"
	minimumRemoved                           = "MINIMUM_REMOVED"
	minimumIncreased                         = "MINIMUM_INCREASED"
	minimumDecreased                         = "MINIMUM_DECREASED"
	exclusiveMaximumAdded                    = "EXCLUSIVE_MAXIMUM_ADDED"
	exclusiveMaximumRemoved                  = "EXCLUSIVE_MAXIMUM_REMOVED"
	exclusiveMaximumIncreased                = "EXCLUSIVE_MAXIMUM_INCREASED"
	exclusiveMaximumDecreased                = "EXCLUSIVE_MAXIMUM_DECREASED"
	exclusiveMinimumAdded                    = "EXCLUSIVE_MINIMUM_ADDED"
	exclusiveMinimumRemoved                  = "EXCLUSIVE_MINIMUM_REMOVED"
	exclusiveMinimumIncreased                = "EXCLUSIVE_MINIMUM_INCREASED"
	exclusiveMinimumDecreased                = "EXCLUSIVE_MINIMUM_DECREASED"
	multipleOfAdded                          = "MULTIPLE_OF_ADDED"
	multipleOfRemoved                        = "MULTIPLE_OF_REMOVED"
	multipleOfExpanded                       = "MULTIPLE_OF_EXPANDED"
	multipleOfReduced                        = "MULTIPLE_OF_REDUCED"
	multipleOfChanged                        = "MULTIPLE_OF_CHANGED"
	requiredAdded                            = "REQUIRED_ATTRIBUTE_ADDED"
	requiredWithDefaultAdded                 = "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED"
	requiredRemoved                          = "REQUIRED_ATTRIBUTE_REMOVED"
	maxPropertiesAdded                       = "MAX_PROPERTIES_ADDED"
	maxPropertiesRemoved                     = "MAX_PROPERTIES_REMOVED"
	maxPropertiesIncreased                   = "MAX_PROPERTIES_INCREASED"
	maxPropertiesDecreased                   = "MAX_PROPERTIES_DECREASED"
	minPropertiesAdded                       = "MIN_PROPERTIES_ADDED"
	minPropertiesRemoved                     = "MIN_PROPERTIES_REMOVED"
	minPropertiesIncreased                   = "MIN_PROPERTIES_INCREASED"
	minPropertiesDecreased                   = "MIN_PROPERTIES_DECREASED"
	additionalPropertiesAdded                = "ADDITIONAL_PROPERTIES_ADDED"
	additionalPropertiesRemoved              = "ADDITIONAL_PROPERTIES_REMOVED"
	additionalPropertiesExtended             = "ADDITIONAL_PROPERTIES_EXTENDED"
	additionalPropertiesNarrowed             = "ADDITIONAL_PROPERTIES_NARROWED"
	dependencyArrayAdded                     = "DEPENDENCY_ARRAY_ADDED"
	dependencyArrayRemoved                   = "DEPENDENCY_ARRAY_REMOVED"
	dependencyArrayExtended                  = "DEPENDENCY_ARRAY_EXTENDED"
	dependencyArrayNarrowed                  = "DEPENDENCY_ARRAY_NARROWED"
	dependencyArrayChanged                   = "DEPENDENCY_ARRAY_CHANGED"
	dependencySchemaAdded                    = "DEPENDENCY_SCHEMA_ADDED"
	dependencySchemaRemoved                  = "DEPENDENCY_SCHEMA_REMOVED"
	propertyRequiredAddedToOpen              = "REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"
	propertyRequiredWithDefaultAddedToOpen   = "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL"
	propertyOptionalAddedToOpen              = "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"
	propertyEmptyAddedToOpen                 = "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL"
	propertyRequiredAddedToUnopen            = "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
	propertyRequiredWithDefaultAddedToUnopen = "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL"
	propertyOptionalAddedToUnopen            = "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
	propertyRemovedFromOpen                  = "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL"
	propertyFalseRemovedFromClosed           = "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL"
	propertyRemovedFromClosed                = "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"
	propertyRemovedCovered                   = "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	propertyRemovedNotCovered                = "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	propertyAddedCovered                     = "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	propertyAddedNotCovered                  = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	unevaluatedPropertiesAdded               = "UNEVALUATED_PROPERTIES_ADDED"
	unevaluatedPropertiesRemoved             = "UNEVALUATED_PROPERTIES_REMOVED"
	unevaluatedPropertiesExtended            = "UNEVALUATED_PROPERTIES_EXTENDED"
	unevaluatedPropertiesNarrowed            = "UNEVALUATED_PROPERTIES_NARROWED"
	additionalItemsAdded                     = "ADDITIONAL_ITEMS_ADDED"
	additionalItemsRemoved                   = "ADDITIONAL_ITEMS_REMOVED"
	additionalItemsExtended                  = "ADDITIONAL_ITEMS_EXTENDED"
	additionalItemsNarrowed                  = "ADDITIONAL_ITEMS_NARROWED"
	unevaluatedItemsAdded                    = "UNEVALUATED_ITEMS_ADDED"
	unevaluatedItemsRemoved                  = "UNEVALUATED_ITEMS_REMOVED"
	unevaluatedItemsExtended                 = "UNEVALUATED_ITEMS_EXTENDED"
	unevaluatedItemsNarrowed                 = "UNEVALUATED_ITEMS_NARROWED"
	maxItemsAdded                            = "MAX_ITEMS_ADDED"
	maxItemsRemoved                          = "MAX_ITEMS_REMOVED"
	maxItemsIncreased                        = "MAX_ITEMS_INCREASED"
	maxItemsDecreased                        = "MAX_ITEMS_DECREASED"
	minItemsAdded                            = "MIN_ITEMS_ADDED"
	minItemsRemoved                          = "MIN_ITEMS_REMOVED"
	minItemsIncreased                        = "MIN_ITEMS_INCREASED"
	minItemsDecreased                        = "MIN_ITEMS_DECREASED"
	maxContainsAdded                         = "MAX_CONTAINS_ADDED"
	maxContainsRemoved                       = "MAX_CONTAINS_REMOVED"
	maxContainsIncreased                     = "MAX_CONTAINS_INCREASED"
	maxContainsDecreased                     = "MAX_CONTAINS_DECREASED"
	minContainsAdded                         = "MIN_CONTAINS_ADDED"
	minContainsRemoved                       = "MIN_CONTAINS_REMOVED"
	minContainsIncreased                     = "MIN_CONTAINS_INCREASED"
	minContainsDecreased                     = "MIN_CONTAINS_DECREASED"
	uniqueItemsAdded                         = "UNIQUE_ITEMS_ADDED"
	uniqueItemsRemoved                       = "UNIQUE_ITEMS_REMOVED"
	itemAddedToOpen                          = "ITEM_ADDED_TO_OPEN_CONTENT_MODEL"
	itemEmptyAddedToOpen                     = "ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL"
	itemAddedToClosed                        = "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL"
	itemRemovedFromOpen                      = "ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL"
	itemFalseRemovedFromClosed               = "ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL"
	itemRemovedFromClosed                    = "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"
	itemRemovedCovered                       = "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	itemRemovedNotCovered                    = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	itemAddedCovered                         = "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	itemAddedNotCovered                      = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	enumExtended                             = "ENUM_ARRAY_EXTENDED"
	enumNarrowed                             = "ENUM_ARRAY_NARROWED"
	enumChanged                              = "ENUM_ARRAY_CHANGED"
	combinedExtended                         = "COMBINED_TYPE_EXTENDED"
	combinedChanged                          = "COMBINED_TYPE_CHANGED"
	productExtended                          = "PRODUCT_TYPE_EXTENDED"
	productNarrowed                          = "PRODUCT_TYPE_NARROWED"
	sumExtended                              = "SUM_TYPE_EXTENDED"
	sumNarrowed                              = "SUM_TYPE_NARROWED"
	subschemasChanged                        = "COMBINED_TYPE_SUBSCHEMAS_CHANGED"
	notExtended                              = "NOT_TYPE_EXTENDED"
	notNarrowed                              = "NOT_TYPE_NARROWED"
	tooLarge                                 = "COMPARISON_TOO_LARGE"
)

// meaning says of a type of difference which policies let it pass, what it means, and what its author can do about it.
type meaning struct {
	strict, lenient bool
	message, advice string
}

// meaningOf is the table of all types. Lenient lets pass what is safe as long as nobody writes properties that his schema does
// not name, which most producers do not.
func meaningOf(typ string) meaning {
	switch typ {
	case idChanged:
		return meaning{true, true, "the id differs", ""}
	case descriptionChanged:
		return meaning{true, true, "the description differs", ""}
	case titleChanged:
		return meaning{true, true, "the title differs", ""}
	case defaultChanged:
		return meaning{true, true, "the default differs", ""}
	case schemaAdded:
		return meaning{false, false, "the reader has a schema here, where the writer has none", "leave it out: what the writer never checked may be anything"}
	case schemaRemoved:
		return meaning{true, true, "the writer has a schema here, where the reader has none", ""}
	case typeExtended:
		return meaning{true, true, "the reader takes more types", ""}
	case typeNarrowed:
		return meaning{false, false, "the reader takes integers alone, the writer any number", "keep number"}
	case typeChanged:
		return meaning{false, false, "the type differs", "keep the type, or take both with anyOf"}
	case maxLengthAdded:
		return meaning{false, false, "the reader sets maxLength, which the writer does not", "leave maxLength out, or make it a new subject"}
	case maxLengthRemoved:
		return meaning{true, true, "the reader no longer sets maxLength", ""}
	case maxLengthIncreased:
		return meaning{true, true, "maxLength is higher in the reader", ""}
	case maxLengthDecreased:
		return meaning{false, false, "maxLength is lower in the reader", "keep maxLength as it was or raise it"}
	case minLengthAdded:
		return meaning{false, false, "the reader sets minLength, which the writer does not", "leave minLength out, or make it a new subject"}
	case minLengthRemoved:
		return meaning{true, true, "the reader no longer sets minLength", ""}
	case minLengthIncreased:
		return meaning{false, false, "minLength is higher in the reader", "keep minLength as it was or lower it"}
	case minLengthDecreased:
		return meaning{true, true, "minLength is lower in the reader", ""}
	case patternAdded:
		return meaning{false, false, "the reader has a pattern, the writer none", "leave the pattern out"}
	case patternRemoved:
		return meaning{true, true, "the reader has no pattern any more", ""}
	case patternChanged:
		return meaning{false, false, "the pattern differs", "keep the pattern: whether one allows all that another does cannot be told"}
	case maximumAdded:
		return meaning{false, false, "the reader sets maximum, which the writer does not", "leave maximum out, or make it a new subject"}
	case maximumRemoved:
		return meaning{true, true, "the reader no longer sets maximum", ""}
	case maximumIncreased:
		return meaning{true, true, "maximum is higher in the reader", ""}
	case maximumDecreased:
		return meaning{false, false, "maximum is lower in the reader", "keep maximum as it was or raise it"}
	case minimumAdded:
		return meaning{false, false, "the reader sets minimum, which the writer does not", "leave minimum out, or make it a new subject"}
	case minimumRemoved:
		return meaning{true, true, "the reader no longer sets minimum", ""}
	case minimumIncreased:
		return meaning{false, false, "minimum is higher in the reader", "keep minimum as it was or lower it"}
	case minimumDecreased:
		return meaning{true, true, "minimum is lower in the reader", ""}
	case exclusiveMaximumAdded:
		return meaning{false, false, "the reader sets exclusiveMaximum, which the writer does not", "leave exclusiveMaximum out, or make it a new subject"}
	case exclusiveMaximumRemoved:
		return meaning{true, true, "the reader no longer sets exclusiveMaximum", ""}
	case exclusiveMaximumIncreased:
		return meaning{true, true, "exclusiveMaximum is higher in the reader", ""}
	case exclusiveMaximumDecreased:
		return meaning{false, false, "exclusiveMaximum is lower in the reader", "keep exclusiveMaximum as it was or raise it"}
	case exclusiveMinimumAdded:
		return meaning{false, false, "the reader sets exclusiveMinimum, which the writer does not", "leave exclusiveMinimum out, or make it a new subject"}
	case exclusiveMinimumRemoved:
		return meaning{true, true, "the reader no longer sets exclusiveMinimum", ""}
	case exclusiveMinimumIncreased:
		return meaning{false, false, "exclusiveMinimum is higher in the reader", "keep exclusiveMinimum as it was or lower it"}
	case exclusiveMinimumDecreased:
		return meaning{true, true, "exclusiveMinimum is lower in the reader", ""}
	case multipleOfAdded:
		return meaning{false, false, "the reader sets multipleOf, which the writer does not", "leave multipleOf out"}
	case multipleOfRemoved:
		return meaning{true, true, "the reader no longer sets multipleOf", ""}
	case multipleOfExpanded:
		return meaning{false, false, "multipleOf is a multiple of what it was", "keep multipleOf, or divide it"}
	case multipleOfReduced:
		return meaning{true, true, "multipleOf divides what it was", ""}
	case multipleOfChanged:
		return meaning{false, false, "multipleOf differs", "keep multipleOf, or divide it"}
	case requiredAdded:
		return meaning{false, false, "the property is required by the reader and was not by the writer", "leave it optional, or give it a default"}
	case requiredWithDefaultAdded:
		return meaning{true, true, "the property is required by the reader, and has a default", ""}
	case requiredRemoved:
		return meaning{true, true, "the property is no longer required", ""}
	case maxPropertiesAdded:
		return meaning{false, false, "the reader sets maxProperties, which the writer does not", "leave maxProperties out, or make it a new subject"}
	case maxPropertiesRemoved:
		return meaning{true, true, "the reader no longer sets maxProperties", ""}
	case maxPropertiesIncreased:
		return meaning{true, true, "maxProperties is higher in the reader", ""}
	case maxPropertiesDecreased:
		return meaning{false, false, "maxProperties is lower in the reader", "keep maxProperties as it was or raise it"}
	case minPropertiesAdded:
		return meaning{false, false, "the reader sets minProperties, which the writer does not", "leave minProperties out, or make it a new subject"}
	case minPropertiesRemoved:
		return meaning{true, true, "the reader no longer sets minProperties", ""}
	case minPropertiesIncreased:
		return meaning{false, false, "minProperties is higher in the reader", "keep minProperties as it was or lower it"}
	case minPropertiesDecreased:
		return meaning{true, true, "minProperties is lower in the reader", ""}
	case additionalPropertiesAdded:
		return meaning{true, true, "the reader allows additional properties, the writer did not", ""}
	case additionalPropertiesRemoved:
		return meaning{false, true, "the reader allows no additional properties, the writer did", "keep the model open, or set compatibilityPolicy to LENIENT if nobody writes properties that the schema does not name"}
	case additionalPropertiesExtended:
		return meaning{true, true, "the reader allows any additional properties, the writer those of a schema", ""}
	case additionalPropertiesNarrowed:
		return meaning{false, true, "the reader has a schema for additional properties, the writer allowed any", "leave the schema out, or set compatibilityPolicy to LENIENT if nobody writes properties that the schema does not name"}
	case dependencyArrayAdded:
		return meaning{false, false, "the reader has a dependency, the writer none", "leave the dependency out"}
	case dependencyArrayRemoved:
		return meaning{true, true, "the reader has the dependency no more", ""}
	case dependencyArrayExtended:
		return meaning{false, false, "the dependency names more properties", "leave the further properties out"}
	case dependencyArrayNarrowed:
		return meaning{true, true, "the dependency names fewer properties", ""}
	case dependencyArrayChanged:
		return meaning{false, false, "the dependency names other properties", "keep the dependency, or remove names from it"}
	case dependencySchemaAdded:
		return meaning{false, false, "the reader has a dependency with a schema, the writer none", "leave the dependency out"}
	case dependencySchemaRemoved:
		return meaning{true, true, "the reader has the dependency no more", ""}
	case propertyRequiredAddedToOpen:
		return meaning{false, false, "the reader requires a property that the writer does not name", "the writer has an open content model: it lets anybody write a property of this name with any value, which the reader might refuse. Close the model (additionalProperties: false) in the first version, give the property the schema true; and records without it exist: make it optional, or give it a default"}
	case propertyRequiredWithDefaultAddedToOpen:
		return meaning{false, true, "the reader names a property, with a default, that the writer does not name", "the writer has an open content model: it lets anybody write a property of this name with any value, which the reader might refuse. Close the model (additionalProperties: false) in the first version, give the property the schema true, or set compatibilityPolicy to LENIENT"}
	case propertyOptionalAddedToOpen:
		return meaning{false, true, "the reader names a property that the writer does not name", "the writer has an open content model: it lets anybody write a property of this name with any value, which the reader might refuse. Close the model (additionalProperties: false) in the first version, give the property the schema true, or set compatibilityPolicy to LENIENT"}
	case propertyEmptyAddedToOpen:
		return meaning{true, true, "the reader names a property, with any value, that the writer does not name", ""}
	case propertyRequiredAddedToUnopen:
		return meaning{false, false, "the reader requires a property that the writer does not have", "make it optional, or give it a default"}
	case propertyRequiredWithDefaultAddedToUnopen:
		return meaning{true, true, "the reader requires a property, with a default, that the writer does not have", ""}
	case propertyOptionalAddedToUnopen:
		return meaning{true, true, "the reader has an optional property that the writer does not have", ""}
	case propertyRemovedFromOpen:
		return meaning{true, true, "the reader does not name the property any more, but takes it", ""}
	case propertyFalseRemovedFromClosed:
		return meaning{true, true, "the reader does not have the property, which nobody could write", ""}
	case propertyRemovedFromClosed:
		return meaning{false, true, "the reader does not have the property, and allows none that it does not name", "the reader has a closed content model: keep the property, open the model (additionalProperties: true), or set compatibilityPolicy to LENIENT"}
	case propertyRemovedCovered:
		return meaning{true, true, "the reader does not name the property, but its schema for others takes it", ""}
	case propertyRemovedNotCovered:
		return meaning{false, true, "the reader does not name the property, and its schema for others does not take it", "keep the property, or widen additionalProperties or patternProperties"}
	case propertyAddedCovered:
		return meaning{true, true, "the reader names a property and takes all that the writer's schema for others lets pass", ""}
	case propertyAddedNotCovered:
		return meaning{false, true, "the reader names a property and does not take all that the writer's schema for others lets pass", "give the property the schema that the writer has for others, or a wider one"}
	case unevaluatedPropertiesAdded:
		return meaning{true, true, "the reader allows unevaluated properties, the writer did not", ""}
	case unevaluatedPropertiesRemoved:
		return meaning{false, true, "the reader allows no unevaluated properties, the writer did", "keep unevaluatedProperties as it was"}
	case unevaluatedPropertiesExtended:
		return meaning{true, true, "the reader allows any unevaluated properties, the writer those of a schema", ""}
	case unevaluatedPropertiesNarrowed:
		return meaning{false, true, "the reader has a schema for unevaluated properties, the writer allowed any", "keep unevaluatedProperties as it was"}
	case additionalItemsAdded:
		return meaning{true, true, "the reader allows further items, the writer did not", ""}
	case additionalItemsRemoved:
		return meaning{false, false, "the reader allows no further items, the writer did", "keep additionalItems as it was"}
	case additionalItemsExtended:
		return meaning{true, true, "the reader allows any further items, the writer those of a schema", ""}
	case additionalItemsNarrowed:
		return meaning{false, false, "the reader has a schema for further items, the writer allowed any", "keep additionalItems as it was"}
	case unevaluatedItemsAdded:
		return meaning{true, true, "the reader allows unevaluated items, the writer did not", ""}
	case unevaluatedItemsRemoved:
		return meaning{false, false, "the reader allows no unevaluated items, the writer did", "keep unevaluatedItems as it was"}
	case unevaluatedItemsExtended:
		return meaning{true, true, "the reader allows any unevaluated items, the writer those of a schema", ""}
	case unevaluatedItemsNarrowed:
		return meaning{false, false, "the reader has a schema for unevaluated items, the writer allowed any", "keep unevaluatedItems as it was"}
	case maxItemsAdded:
		return meaning{false, false, "the reader sets maxItems, which the writer does not", "leave maxItems out, or make it a new subject"}
	case maxItemsRemoved:
		return meaning{true, true, "the reader no longer sets maxItems", ""}
	case maxItemsIncreased:
		return meaning{true, true, "maxItems is higher in the reader", ""}
	case maxItemsDecreased:
		return meaning{false, false, "maxItems is lower in the reader", "keep maxItems as it was or raise it"}
	case minItemsAdded:
		return meaning{false, false, "the reader sets minItems, which the writer does not", "leave minItems out, or make it a new subject"}
	case minItemsRemoved:
		return meaning{true, true, "the reader no longer sets minItems", ""}
	case minItemsIncreased:
		return meaning{false, false, "minItems is higher in the reader", "keep minItems as it was or lower it"}
	case minItemsDecreased:
		return meaning{true, true, "minItems is lower in the reader", ""}
	case maxContainsAdded:
		return meaning{false, false, "the reader sets maxContains, which the writer does not", "leave maxContains out, or make it a new subject"}
	case maxContainsRemoved:
		return meaning{true, true, "the reader no longer sets maxContains", ""}
	case maxContainsIncreased:
		return meaning{true, true, "maxContains is higher in the reader", ""}
	case maxContainsDecreased:
		return meaning{false, false, "maxContains is lower in the reader", "keep maxContains as it was or raise it"}
	case minContainsAdded:
		return meaning{false, false, "the reader sets minContains, which the writer does not", "leave minContains out, or make it a new subject"}
	case minContainsRemoved:
		return meaning{true, true, "the reader no longer sets minContains", ""}
	case minContainsIncreased:
		return meaning{false, false, "minContains is higher in the reader", "keep minContains as it was or lower it"}
	case minContainsDecreased:
		return meaning{true, true, "minContains is lower in the reader", ""}
	case uniqueItemsAdded:
		return meaning{false, false, "the reader wants items that all differ, the writer did not", "leave uniqueItems out"}
	case uniqueItemsRemoved:
		return meaning{true, true, "the reader takes equal items", ""}
	case itemAddedToOpen:
		return meaning{false, false, "the reader has a schema for a place that the writer does not speak of", "the writer lets anything stand there: close the tuple first, or give the place the schema true"}
	case itemEmptyAddedToOpen:
		return meaning{true, true, "the reader names a place, with any value", ""}
	case itemAddedToClosed:
		return meaning{true, true, "the reader has a place that the writer does not have", ""}
	case itemRemovedFromOpen:
		return meaning{true, true, "the reader does not speak of the place any more, but takes it", ""}
	case itemFalseRemovedFromClosed:
		return meaning{true, true, "the reader does not have the place, where nobody could write", ""}
	case itemRemovedFromClosed:
		return meaning{false, false, "the reader does not have the place, and allows no further items", "keep the place, or allow further items"}
	case itemRemovedCovered:
		return meaning{true, true, "the reader does not name the place, but its schema for further items takes it", ""}
	case itemRemovedNotCovered:
		return meaning{false, false, "the reader does not name the place, and its schema for further items does not take it", "keep the place, or widen the schema for further items"}
	case itemAddedCovered:
		return meaning{true, true, "the reader names a place and takes all that the writer's schema for further items lets pass", ""}
	case itemAddedNotCovered:
		return meaning{false, false, "the reader names a place and does not take all that the writer's schema for further items lets pass", "give the place the schema that the writer has for further items, or a wider one"}
	case enumExtended:
		return meaning{true, true, "the reader allows more values", ""}
	case enumNarrowed:
		return meaning{false, false, "the reader allows fewer values", "keep all values"}
	case enumChanged:
		return meaning{false, false, "the reader allows other values", "keep all values and add to them"}
	case combinedExtended:
		return meaning{true, true, "the combination allows more", ""}
	case combinedChanged:
		return meaning{false, false, "the kind of combination differs", "keep allOf, anyOf or oneOf as it was, or make it anyOf"}
	case productExtended:
		return meaning{false, false, "allOf has more schemas", "leave the further schemas out"}
	case productNarrowed:
		return meaning{true, true, "allOf has fewer schemas", ""}
	case sumExtended:
		return meaning{true, true, "the reader takes more alternatives", ""}
	case sumNarrowed:
		return meaning{false, false, "the reader takes fewer alternatives", "keep all alternatives"}
	case subschemasChanged:
		return meaning{false, false, "not every schema of the combination has a compatible one in the other", "change the schemas within the combination compatibly, one by one"}
	case notExtended:
		return meaning{false, false, "not excludes more", "leave not as it was, or exclude less"}
	case notNarrowed:
		return meaning{true, true, "not excludes no more than before", ""}
	case tooLarge:
		return meaning{false, false, "the schemas have too many combinations to compare", "divide the schema"}
	}
	return meaning{message: typ}
}

func compatible(typ string, p schema.Policy) bool {
	m := meaningOf(typ)
	return m.strict || p == schema.Lenient && m.lenient
}

func describe(d diff) schema.Difference {
	m := meaningOf(d.typ)
	return schema.Difference{Type: d.typ, Path: d.at(), Message: m.message + d.note, Advice: m.advice}
}
