"""Explanations of the terms of the field, used for the app's tooltips and for docs/glossary.md."""

from __future__ import annotations

GLOSSARY = {
    "[cls]": "The token that summarises an image. Its attention decides which patches are kept.",
    "Alpha": "Weight of D_EMD in D = (1 - alpha) · D_cos + alpha · D_EMD (Eq. 10). The paper uses 0.4.",
    "BNNeck": "Batch normalisation between the feature a model is trained with and the feature it ranks by.",
    "CMC": "Share of queries whose first true match is at rank k or better. Rank-1 is its first value.",
    "Consolidation": "The decoder mixes the query with its K nearest gallery images into one feature.",
    "D": "Distance by which the shortlist is ranked: D_cos and D_EMD, weighted by alpha (Eq. 10).",
    "D_cos": "One minus the cosine between the [cls] tokens of two images (Eq. 4).",
    "D_EMD": "Cost of the cheapest transport of the patches of one image onto those of the other (Eq. 5).",
    "Drop strategy": "Which patches a layer discards: non-salient (the method), salient, random, or given by hand.",
    "Final distance": "Euclidean distance between the consolidated feature of the query and a gallery feature.",
    "Gallery": "The images that are searched for the person in the query.",
    "Gallery memory": "The tokens and features of all gallery images, encoded once without dropping.",
    "Ground cost": "One minus the cosine between a patch of the query and a patch of a gallery image.",
    "Junk image": "A gallery image of the same person from the query's own camera. It does not count.",
    "K": "How many of the nearest gallery images the decoder reads.",
    "Keep rate": "Share of the patches that each dropping layer keeps. At 1 nothing is dropped.",
    "mAP": "Mean average precision: how early all true matches of a query are ranked, averaged over queries.",
    "Marginals": "Weight of each patch in the transport: its similarity to the other image, scaled to sum to 1.",
    "Query": "The image of the person to search for.",
    "Shortlist": "The gallery images nearest by D_cos, 100 by default. Transport is computed for these only.",
    "SIE": "Side information embedding: a learned vector per camera that is added to the tokens.",
    "Transport plan": "How much of each query patch is matched with each gallery patch.",
    "Variant": "Whether to follow the paper or the released code where the two differ.",
}
"""Explanation of each term, in alphabetical order and short enough for a tooltip."""
