"""Geometries: voxels and places are one to one, binnings are read safely, and the challenge's own are as published."""

import numpy as np
import pytest

from lpm.physics.geometry import GEOMETRIES, Box, Geometry, Layer, Planes, geometry_of, read_binning

FILES = {"1-photons": "1_photons", "1-pions": "1_pions", "2": "2", "3": "3"}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_shipped_geometries_equal_the_published_binning(name, shared_data):
    text = (shared_data / "calorimeter" / f"binning_dataset_{FILES[name]}.xml").read_text()
    assert read_binning(text, name) == GEOMETRIES[name]


@pytest.mark.parametrize(("name", "voxels", "layers"), [("1-photons", 368, 5), ("1-pions", 533, 7), ("2", 6480, 45),
                                                        ("3", 40500, 45)])  # fmt: skip
def test_sizes(name, voxels, layers):
    g = GEOMETRIES[name]
    assert (g.voxels, len(g.layers)) == (voxels, layers)
    assert geometry_of(voxels) is g
    assert g.regular == (name in "23")


@pytest.mark.parametrize("g", [*GEOMETRIES.values(), Box("box", (3, 4, 5))], ids=lambda g: g.name)
def test_places_and_voxels_are_one_to_one(g):
    assert np.array_equal(g.voxel(*g.places.T), np.arange(g.voxels))


def test_r_runs_fastest_then_alpha():
    g = GEOMETRIES["2"]
    grid = np.arange(g.voxels).reshape(45, 16, 9)  # layer, alpha, r
    assert grid[7, 3, 5] == g.voxel(7, 5, 3)


def test_centres_lie_in_the_middle_of_the_bins():
    g = Geometry("two", (Layer(0, (0.0, 2.0, 6.0), 4),))
    eta, phi, r = g.centres.T
    assert r.tolist() == [1, 4] * 4
    assert np.allclose(np.arctan2(phi, eta)[::2], np.pi * np.array([-0.75, -0.25, 0.25, 0.75]))
    assert np.allclose(np.hypot(eta, phi), r)


def layer(**changes):
    made = {"id": "0", "r_edges": "0,5", "n_bin_alpha": "2"} | changes
    return "<Layer " + " ".join(f'{k}="{v}"' for k, v in made.items()) + "/>"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nonsense", "no XML"),
        ("<Bins></Bins>", "one <Bin>"),
        ("<Other><Bin/></Other>", "got <Other>"),
        ("<Bins><Bin></Bin></Bins>", "different numbers"),
        (f"<Bins><Bin>{layer()}{layer()}</Bin></Bins>", "different numbers"),
        (f"<Bins><Bin>{layer(r_edges='0,5,3')}</Bin></Bins>", "layer 0: .* rise"),
        (f"<Bins><Bin>{layer(r_edges='0,inf')}</Bin></Bins>", "layer 0: .* rise"),
        (f"<Bins><Bin>{layer(r_edges='-1,5')}</Bin></Bins>", "layer 0: .* rise"),
        (f"<Bins><Bin>{layer(r_edges='a,b')}</Bin></Bins>", "layer 0: expected id"),
        (f"<Bins><Bin>{layer(n_bin_alpha='0')}</Bin></Bins>", "one bin in alpha"),
        (f"<Bins><Bin>{layer(n_bin_alpha='99999999999')}</Bin></Bins>", "at most"),
        (f'<!DOCTYPE b [<!ENTITY a "b">]><Bins><Bin>{layer()}</Bin></Bins>', "entities"),
    ],
)
def test_nonsense_is_refused_by_name(text, match):
    with pytest.raises(ValueError, match=match) as error:
        read_binning(text, "mine")
    assert "\n" not in str(error.value)


def test_empty_layers_have_no_voxels_and_comments_are_allowed():
    text = f"<Bins><!-- none --><Bin>{layer()}{layer(id='4', r_edges='0')}</Bin></Bins>"
    assert [la.number for la in read_binning(text, "mine").layers] == [0]


@pytest.mark.parametrize("place", [(45, 0, 0), (0, 9, 0), (0, 0, 16), (0, -1, 0), (-1, 0, 0)])
def test_cells_outside_are_refused(place):
    with pytest.raises(ValueError, match="outside"):
        GEOMETRIES["2"].voxel(*place)


def test_unknown_numbers_of_voxels_are_refused():
    with pytest.raises(ValueError, match=r"showers of 7 voxels: expected 368 \(1-photons\)"):
        geometry_of(7)


def test_boxes_refuse_nothing_and_too_much():
    for cells in ((0, 1, 1), (1000, 1000, 1000)):
        with pytest.raises(ValueError, match="expected 1 to"):
            Box("b", cells)
    with pytest.raises(ValueError, match="outside"):
        Box("b", (2, 2, 2)).voxel(0, 2, 0)


def test_a_box_is_seen_as_planes():
    box = Box("4x3x2", (4, 3, 2), (5.0, 5.0, 10.0))
    planes = Planes.of(box)
    assert (planes.voxels, planes.shape, planes.regular) == (24, (2, 3, 4), True)
    assert np.array_equal(planes.places, box.places)
    assert np.allclose(
        planes.centres.reshape(2, 3, 4, 3)[1, 2],
        [[-7.5, 5, 81.25**0.5], [-2.5, 5, 31.25**0.5], [2.5, 5, 31.25**0.5], [7.5, 5, 81.25**0.5]],
    )
    assert int(planes.voxel(1, 3, 2)) == int(box.voxel(1, 3, 2)) == 23
